"""Find out whether another interpreter can run a worker. Runs on any Python 3.

Started as `python -I probe.py SOURCE BACKEND MAJOR MINOR`; answers with one JSON on stdout.
"""

import json
import sys


def examine(source: str, backend: str, oldest: "tuple[int, int]") -> "dict[str, object]":
    """What this interpreter has. honed is imported only if the interpreter can import it."""
    found = {"python": ".".join(str(n) for n in sys.version_info[:3])}  # type: dict[str, object]
    if sys.version_info[:2] < oldest:
        return found
    from importlib.util import find_spec

    found["numpy"] = find_spec("numpy") is not None
    if not found["numpy"]:
        return found
    sys.path.insert(0, source)
    from honed.backends.base import engine_packages, load_backend
    from honed.machine.facts import PACKAGES, package_versions

    here = load_backend(backend).available()
    found.update(ok=here.ok, why=here.why, how=here.how, needs=list(here.needs))
    found["packages"] = package_versions((*PACKAGES, *engine_packages()))
    return found


if __name__ == "__main__":
    found = examine(sys.argv[1], sys.argv[2], (int(sys.argv[3]), int(sys.argv[4])))
    sys.stdout.write(json.dumps(found) + "\n")
