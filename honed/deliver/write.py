"""Write the folder: the engine's files, settings, a loader, a check, and what they promise."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import honed
from honed.backends.base import traits
from honed.case import Case
from honed.deliver.standalone import verify
from honed.errors import HonedError, UsageError
from honed.files import whole
from honed.knobs import applicable_knobs
from honed.machine.spawn import Spawn, fold
from honed.models.delivered import CHECKSUMS_FILE, SETTINGS_FILE
from honed.phase import OnPhase
from honed.plain import to_plain
from honed.record import Record
from honed.run.deliver import Delivered
from honed.run.parent import deliver
from honed.typed_paths import PATH_KEYS

_PATHS = (*PATH_KEYS, "lengths")  # keys of a Case that may name a file or folder
_STANDALONE = Path(__file__).parent / "standalone"
_ENVIRONMENT = "settings.env"
_SCRIPT = """#!/bin/sh
# {what}
here=$(cd "$(dirname "$0")" && pwd)
{body}
"""
_RUN = _SCRIPT.format(
    what="Starts a command in the environment that the settings need: ./run python app.py",
    body='set -a\n. "$here/settings.env"\nset +a\nexec "$@"',
)
_VERIFY = _SCRIPT.format(
    what="Checks the promises of this folder; PYTHON names another interpreter.",
    body='exec "${PYTHON:-python3}" "$here/verify.py" "$@"',
)


_HINT = "export another setting; this is a fault of honed that its authors want to know of"


class DeliveryError(HonedError):
    """The files were written, but they do not do what honed measured."""


@dataclass(frozen=True, slots=True)
class Export:
    """A finished folder: what is in it, and the gain over the engine's defaults."""

    folder: Path
    delivered: Delivered
    gain: verify.Gain | None
    size_bytes: int


def export(
    case: Case,
    record: Record | None,
    folder: Path,
    on_phase: OnPhase,
    on_speed: Callable[[], None] = lambda: None,
) -> Export:
    """Write the Case's files into `folder`, which must not exist; it appears whole or not at all.

    `record` is the measurement that chose the Case. The gain over the engine's defaults is
    measured in turns at the end, with the files themselves; `on_speed` is called before.
    """
    if folder.exists():
        raise UsageError(f"{folder} exists already", "name another folder, or remove it")
    with whole(folder) as staging:
        _make(staging, folder)
        delivered = deliver(case, staging, on_phase)
        write_scripts(staging)
        paths = _without_folders(case, delivered)
        settings = _settings(case.replace(**paths), delivered)
        _write_settings(staging, settings)
        on_speed()
        gain = _fill_in_promises(staging, settings)
        _write_settings(staging, settings)
        (staging / _ENVIRONMENT).write_text(_environment_file(case, settings))
        readme = _readme(case, delivered, settings, has_record=record is not None)
        (staging / "README.md").write_text(readme)
        if record is not None:
            kept = replace(record, case={**record.case, **paths})
            (staging / "record.json").write_text(json.dumps(kept.to_json(), indent=1))
        write_checksums(staging)
        size_bytes = sum(f.stat().st_size for f in staging.rglob("*") if f.is_file())
    return Export(folder, delivered, gain, size_bytes)


def _make(staging: Path, folder: Path) -> None:
    try:
        staging.mkdir()
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}",
            "name a folder inside one that exists and that you may write",
        ) from error


def _without_folders(case: Case, delivered: Delivered) -> dict[str, str]:
    """The names of the model and the files of the Case, by key, without their folders. Folders of
    this machine mean nothing where the files arrive, and may name people."""
    paths = {key: value for key in _PATHS if isinstance(value := case.get(key), str)}
    names = {key: PurePath(value).name for key, value in paths.items()}
    return names | {"model": delivered.model}


def _settings(case: Case, delivered: Delivered) -> verify.Settings:
    """What the loader and the check read, without what `_fill_in_promises` measures."""
    spawn = environment(case)
    reading = to_plain(delivered.reading) if delivered.reading else None
    return {
        "honed": honed.__version__,
        "case": case.to_json(),
        "model": delivered.model,
        "task": delivered.task,
        "engine": dict(delivered.settings),
        "packages": dict(delivered.versions),
        "threads": case.threads,
        "instances": case.instances,
        "environment": spawn.environment,
        "preload": _preloaded(spawn),
        "in_process": spawn.in_child,
        "reading": reading,
        "fidelity": to_plain(delivered.fidelity),
        "calls_s": verify.CALLS_S,
        "in_force": {},
        "busy_threads": None,
        "gain": None,
    }


def environment(case: Case) -> Spawn:
    """The variables of the Case alone, libraries by name, and what a process sets for itself.

    A preloaded library is named without its folder: the loader of the target machine finds it.
    """
    spawn = fold(case.knobs, {}, applicable_knobs(case))
    variables = dict(spawn.environment)
    if case.threads is not None:
        for variable in traits(case.backend).thread_variables:
            variables.setdefault(variable, str(case.threads))
    if "LD_PRELOAD" in variables:
        paths = variables["LD_PRELOAD"].split(":")
        variables["LD_PRELOAD"] = ":".join(Path(path).name for path in paths)
        variables |= traits(case.backend).preload_environment
    return Spawn(variables, spawn.in_child)


def _preloaded(spawn: Spawn) -> list[str]:
    return [name for name in spawn.environment.get("LD_PRELOAD", "").split(":") if name]


def _fill_in_promises(staging: Path, settings: verify.Settings) -> verify.Gain | None:
    """Measure the settings in force, the busy threads and the gain with the files themselves, by
    the same check that ./verify runs later. DeliveryError if the files do not do what they should.
    """
    answer = verify.ask(staging, settings, "tuned")
    if "error" in answer:
        raise DeliveryError(f"the exported files do not run: {answer['error']}", _HINT)
    check = verify.check_outputs(answer)
    if check.verdict != verify.HOLDS:
        raise DeliveryError(f"the exported files give other outputs: {check.message}", _HINT)
    gain = verify.measure_gain(staging, settings, verify.ROUNDS)
    settings["in_force"] = answer["in_force"]
    settings["busy_threads"] = answer["busy_threads"]
    settings["gain"] = gain._asdict() if gain else None
    return gain


def write_scripts(staging: Path) -> None:
    """The loader, the check, and the shell scripts that start them."""
    for name in ("load.py", "verify.py"):
        shutil.copyfile(_STANDALONE / name, staging / name)
    for name, text in (("run", _RUN), ("verify", _VERIFY)):
        (staging / name).write_text(text)
        (staging / name).chmod(0o755)


def _write_settings(staging: Path, settings: verify.Settings) -> None:
    (staging / SETTINGS_FILE).write_text(json.dumps(settings, indent=1) + "\n")


def _environment_file(case: Case, settings: verify.Settings) -> str:
    """NAME=value lines for a shell, systemd or Docker, each behind the setting that it serves."""
    lines = ["# The environment in which the process has to start: ./run sets it."]
    if not settings["environment"]:
        lines.append("# This setting needs no variable.")
    served = _settings_served(case)
    for name, value in sorted(settings["environment"].items()):
        if served.get(name):
            lines += ["", f"# {served[name]}"]
        lines.append(f"{name}={shlex.quote(value)}")
    if settings["preload"]:
        lines += ["", "# Libraries that have to be installed: " + ", ".join(settings["preload"])]
    for name, value in settings["in_process"].items():
        lines += ["", f"# load.py sets {name}={value} in the process itself."]
    return "\n".join(lines) + "\n"


def _settings_served(case: Case) -> dict[str, str]:
    """Which setting each variable serves, with the help of that setting."""
    known = applicable_knobs(case)
    served = dict.fromkeys(
        traits(case.backend).thread_variables, f"threads={case.threads}: cores of the process"
    )
    served |= dict.fromkeys(
        traits(case.backend).preload_environment,
        f"{case.backend} needs it where a library is preloaded",
    )
    for key, value in case.knobs.items():
        if key in known:
            variables = fold({key: value}, {}, known).environment
            served |= dict.fromkeys(variables, f"{key}={value}: {known[key].help}")
    return served


def _readme(
    case: Case, delivered: Delivered, settings: verify.Settings, *, has_record: bool
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(_STANDALONE)
    # Markdown, not HTML: escaping would change the code that it shows.
    pages = Environment(loader=loader, undefined=StrictUndefined, autoescape=False)  # noqa: S701
    page = pages.get_template("README.md.j2")
    return page.render(case=case, delivered=delivered, settings=settings, has_record=has_record)


def write_checksums(staging: Path) -> None:
    """Of every file that is there: `sha256sum -c checksums.sha256` reads them."""
    lines = [f"{verify.sha256(staging / name)}  {name}" for name in _names(staging)]
    (staging / CHECKSUMS_FILE).write_text("\n".join(lines) + "\n")


def _names(staging: Path) -> Iterator[str]:
    for path in sorted(staging.rglob("*")):
        is_made_later = "__pycache__" in path.parts or path.name == CHECKSUMS_FILE
        if path.is_file() and not is_made_later:
            yield str(path.relative_to(staging))
