"""Hard limits of the kernel, and files that change while a model runs from them.

Each run has a process of its own, since a failure would be a signal or the kernel's memory killer.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lowmem_models import saved
from memory_groups import memory_group

from honed import artifacts
from honed.backends import lowmem
from honed.backends.base import LoadRequest
from honed.backends.lowmem import convert
from honed.case import Case
from honed.errors import HonedError
from honed.models.tiny import write_safetensors
from honed.run.parent import measure

pytestmark = pytest.mark.engine
MIB = 2**20
LAYERS, HIDDEN, WIDE, WORDS = 6, 1024, 4096, 20_000  # 362 MiB, of which 78 are words

RUN = """
import resource, sys
import honed, torch
torch.set_num_threads(1)
model = honed.lowmem(sys.argv[1])
ids = torch.arange(2, 130)[None]
model(ids[:, :2])
lines = open("/proc/self/status").read().splitlines()
now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (now + int(sys.argv[2]), -1))
try:
    torch.empty(2 * int(sys.argv[2]), dtype=torch.uint8)
except RuntimeError as error:
    print("the limit holds")
state = model(ids).last_hidden_state
print("finite" if bool(torch.isfinite(state).all()) else "not finite", tuple(state.shape))
"""

UNTIL_IT_FAILS = """
import sys, honed
import numpy as np
from honed.errors import HonedError
from honed.backends.lowmem import mapped
lease = mapped._MappedFile.lease
for folder in sys.argv[2:]:
    without = folder.endswith("-without")
    mapped._MappedFile.lease = (lambda self: None) if without else lease
    model = honed.lowmem(folder, engine=sys.argv[1])
    ids = np.arange(2, 34)[None]
    model(ids)
    print("ready", flush=True)
    if without:
        sys.stdin.readline()
    try:
        while True:
            model(ids)
    except HonedError as error:
        print(error.message, "|", error.hint, flush=True)
    model.close()
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 362 MiB."""
    folder = tmp_path_factory.mktemp("large")
    saved(folder, "bert", "feature-extraction")  # for its config.json
    config = (folder / "config.json").read_text()
    for name, small, size in (
        ("hidden_size", 32, HIDDEN), ("intermediate_size", 64, WIDE), ("vocab_size", 100, WORDS),
        ("max_position_embeddings", 40, 512), ("num_hidden_layers", 2, LAYERS),
        ("num_attention_heads", 2, 16),
    ):  # fmt: skip
        assert f'"{name}": {small}' in config
        config = config.replace(f'"{name}": {small}', f'"{name}": {size}')
    (folder / "config.json").write_text(config)
    random = np.random.default_rng(0)
    tensors = {
        "embeddings.word_embeddings.weight": (WORDS, HIDDEN),
        "embeddings.position_embeddings.weight": (512, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    for layer in range(LAYERS):
        path = f"encoder.layer.{layer}."
        for name, shape in {
            "attention.self.query": (HIDDEN, HIDDEN), "attention.self.key": (HIDDEN, HIDDEN),
            "attention.self.value": (HIDDEN, HIDDEN),
            "attention.output.dense": (HIDDEN, HIDDEN),
            "intermediate.dense": (WIDE, HIDDEN), "output.dense": (HIDDEN, WIDE),
        }.items():  # fmt: skip
            tensors |= {f"{path}{name}.weight": shape, f"{path}{name}.bias": (shape[0],)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors |= {f"{path}{name}.weight": (HIDDEN,), f"{path}{name}.bias": (HIDDEN,)}
    block = 0.02 * random.standard_normal(WORDS * HIDDEN, np.float32)
    write_safetensors(
        folder / "model.safetensors",
        {name: block[: int(np.prod(shape))].reshape(shape) for name, shape in tensors.items()},
    )
    return folder


def test_it_runs_under_limits_that_the_model_exceeds(large: Path) -> None:
    """In a memory group, most of which torch alone takes, and with 48 MiB of private memory beyond
    what the loaded process has: the kernel refuses every byte more. Where no group can be made,
    the limit of private memory is the only one."""
    with memory_group(340 * MIB) as group:
        join = f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')\n" if group else ""
        words = [sys.executable, "-c", join + RUN, str(large), str(48 * MIB)]
        done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["the limit holds", f"finite (1, 128, {HIDDEN})"]


@pytest.mark.parametrize("engine", ["torch", "small"])
def test_a_file_that_changes_in_mid_run_is_an_error_and_no_signal(
    tmp_path: Path, engine: str
) -> None:
    """One process goes through all cases, and a signal in any of them would end it. Without a
    lease the change is made while nothing is multiplied: nothing else is promised."""
    cases = [(how, lease) for how in ("cut", "written") for lease in ("with", "without")]
    for how, lease in cases:
        saved(tmp_path / f"{how}-{lease}", "bert", "feature-extraction")
    words = [f"{tmp_path}/{how}-{lease}" for how, lease in cases]
    command = [sys.executable, "-c", UNTIL_IT_FAILS, engine, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        for (how, lease), folder in zip(cases, words, strict=True):
            assert running.stdout.readline() == "ready\n", (how, lease)
            change(Path(folder) / "model.safetensors", how)
            if lease == "without":
                print(file=running.stdin, flush=True)
            said = running.stdout.readline()
            assert "is changed or cut short" in said, (how, lease)
            assert "run again" in said
    assert running.returncode == 0


def change(path: Path, how: str) -> None:
    if how == "cut":
        os.truncate(path, 5000)
        return
    with open(path, "r+b") as file:
        file.seek(9000)
        file.write(b"other weights")


def test_a_full_disk_is_said_when_int8_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = saved(tmp_path / "model", "bert", "feature-extraction")
    ask = LoadRequest(Case(model="m", backend="lowmem", precision="int8"), checkpoint, 1)
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "cache"))
    converted = convert._converted

    def until_full(*args: Any) -> Iterator[bytes]:
        yield next(iter(converted(*args)))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(convert, "_converted", until_full)
    about = lowmem.artifact(ask)
    assert about is not None
    with pytest.raises(HonedError, match="cannot write to the cache") as refused:
        artifacts.make("export", about, lambda folder: lowmem.build(ask, folder))
    assert "HONED_CACHE" in refused.value.hint
    assert [p for p in (tmp_path / "cache").rglob("*") if p.name == "model.safetensors"] == []


def test_a_read_only_checkpoint_runs_in_int8_and_says_what_it_needs(tmp_path: Path) -> None:
    """Converted weights go to the cache, not beside the checkpoint. The smallest sizes run, and
    the record says what they need. One run shows both, since starting it takes most of the time.
    """
    folder = tmp_path / "model"
    saved(folder, "bert", "feature-extraction")
    files = sorted(path.name for path in folder.iterdir())
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        record = measure(
            Case(
                model=str(folder),
                backend="lowmem",
                precision="int8",
                memory_budget="1KiB",
                sequence_length=32,
                batch_size=4,
                duration_s=0.1,
                warmup_s=0.1,
                min_samples=2,
                memory=False,
            )
        )
    finally:
        folder.chmod(0o755)
    assert record.status == "ok", record.error
    assert record.effective[0]["precision"] == "int8"
    assert sorted(path.name for path in folder.iterdir()) == files
    said = [doubt.message for doubt in record.doubts if doubt.kind == "memory_budget"]
    assert len(said) == 1
    assert "memory_budget=1KiB cannot be kept" in said[0]
    needed = record.effective[0]["memory_needed_bytes"]
    assert isinstance(needed, int)
    assert needed > 1024
