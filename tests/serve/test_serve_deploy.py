"""Deployment files: they say what was asked, and their own validators accept them."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from served import Server
from typer.testing import CliRunner

from honed.case import Case
from honed.cli import app
from honed.compose import compose
from honed.errors import UsageError
from honed.record import Memory, Record
from honed.serve.deploy.base import Deployment, deployment, kind_names, load_kind
from honed.serve.settings import ServeSettings


@pytest.fixture
def planned(model: Path) -> Deployment:
    case = Case(model=str(model), backend="onnxruntime", precision="int8", threads=2, instances=2,
                duration_s=9.0, knobs={"onnxruntime.arena": "off"})  # fmt: skip
    memory = Memory(rss_peak_bytes=300 << 20, pss_total_bytes=500 << 20)
    record = Record("r", "now", "0", "ok", case.to_json(), memory=memory)
    settings = ServeSettings(port=9000, drain_s=20.0, max_wait_s=2.0)
    return deployment(case, settings, ["max_wait_s=2", "port=9000", "drain_s=20"], record)


def test_the_plan_holds_the_setting_and_its_needs(planned: Deployment, model: Path) -> None:
    command = planned.in_container
    assert command[:3] == ("honed", "serve", "model=/model")
    assert {"backend=onnxruntime", "precision=int8", "threads=2", "instances=2",
            "onnxruntime.arena=off", "max_wait_s=2", "host=0.0.0.0",
            "port=9000"} <= set(command)  # fmt: skip
    assert not any(word.startswith("duration_s") for word in command)
    assert planned.cores == 4
    assert planned.memory_mib == 1006  # 1.25 times two workers of 300 MiB, and the front
    assert planned.stop_s == 30


def test_instances_of_different_sizes_need_all_their_cores(model: Path) -> None:
    case = Case(model=str(model), sizes="8+16+24")
    found = deployment(case, ServeSettings(front_cores=1), [], None)
    assert found.cores == 49
    assert "sizes=8+16+24" in found.words


def test_the_texts_of_a_calibration_go_with_the_model(model: Path, tmp_path: Path) -> None:
    """Without them, the server would calibrate its int8 with random ids."""
    texts = tmp_path / "my texts.txt"
    texts.write_text("the cat\n")
    case = Case(model=str(model), backend="openvino", precision="int8", inputs=str(texts))
    found = deployment(case, ServeSettings(), [], None)
    assert found.mounts == {str(model.resolve()): "/model", str(texts): "/inputs/my texts.txt"}
    case_words = [w for w in found.on_host[2:] if not w.startswith(("host=", "port="))]
    assert compose(case_words).cases[0].inputs == str(texts)
    service = yaml.safe_load(load_kind("compose").write(found))["services"]["honed"]
    assert service["volumes"][1] == f"{texts}:/inputs/my texts.txt:ro"
    pod, _ = yaml.safe_load_all(load_kind("kubernetes").write(found))
    spec = pod["spec"]["template"]["spec"]
    assert spec["volumes"][1]["hostPath"]["path"] == str(texts)
    assert spec["containers"][0]["volumeMounts"][1]["mountPath"] == "/inputs/my texts.txt"
    assert str(texts) in load_kind("systemd").write(found)
    fp32 = deployment(case.replace(precision="fp32"), ServeSettings(), [], None)
    assert fp32.inputs is None
    with pytest.raises(UsageError, match="is no file"):
        deployment(case.replace(inputs="nowhere.txt"), ServeSettings(), [], None)


def test_a_name_cannot_be_mounted() -> None:
    with pytest.raises(UsageError, match="is a name"):
        deployment(Case(model="bert-base-uncased"), ServeSettings(), [], None)


@pytest.mark.parametrize("kind", kind_names())
def test_every_kind_has_the_port_and_the_words(kind: str, planned: Deployment) -> None:
    text = load_kind(kind).write(planned)
    assert "9000" in text
    if kind != "compose":
        assert "precision=int8" in text


def test_the_dockerfile_runs_the_command_without_a_shell(planned: Deployment) -> None:
    lines = load_kind("dockerfile").write(planned).splitlines()
    (entry,) = [line for line in lines if line.startswith("ENTRYPOINT ")]
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == list(planned.in_container)
    assert "USER honed" in lines
    assert "honed[serve,onnxruntime]" in "\n".join(lines)


def test_compose_and_kubernetes_are_yaml_with_cores_and_memory(planned: Deployment) -> None:
    service = yaml.safe_load(load_kind("compose").write(planned))["services"]["honed"]
    assert (service["cpuset"], service["mem_limit"]) == ("0-3", "1006m")
    assert service["stop_grace_period"] == "30s"
    pod, network = yaml.safe_load_all(load_kind("kubernetes").write(planned))
    (container,) = pod["spec"]["template"]["spec"]["containers"]
    resources = container["resources"]
    assert resources["requests"] == resources["limits"] == {"cpu": "4", "memory": "1006Mi"}
    assert container["command"] == list(planned.in_container)
    assert pod["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 35
    assert network["spec"]["ports"][0]["targetPort"] == 9000


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_accepts_the_unit(planned: Deployment, tmp_path: Path) -> None:
    unit = tmp_path / "honed.service"
    unit.write_text(load_kind("systemd").write(planned))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert "honed.service" not in done.stderr, done.stderr


def test_the_command_prints_or_writes_the_file(model: Path, tmp_path: Path) -> None:
    words = ["deploy", "dockerfile", f"model={model}", "backend=fake", "port=8111"]
    printed = CliRunner().invoke(app, words)
    assert printed.exit_code == 0, printed.output
    assert "EXPOSE 8111" in printed.stdout
    out = tmp_path / "Dockerfile"
    assert CliRunner().invoke(app, [*words, "--out", str(out)]).exit_code == 0
    assert out.read_text() == printed.stdout


def test_systemd_is_told_of_ready_alive_and_stopping(
    start: Callable[..., Any], tmp_path: Path
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(20)
        server: Server = start(env={"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "400000"})
        heard = [listener.recv(100) for _ in range(3)]
        server.stop()
        while (last := listener.recv(100)) == b"WATCHDOG=1":
            pass
    assert heard == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert last == b"STOPPING=1"
