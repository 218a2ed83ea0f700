"""The environment of a release, made when it is first needed and kept for the next search."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from honed import environments
from honed.environments.installer import Installer


def maker(
    package: str, installer: Installer, others: Sequence[str] = (), *, shared: bool = True
) -> Callable[[str], str]:
    """Version -> the name of its environment, for `python=`.

    With `shared` all other packages are those of honed's environment, so that nothing but the
    release differs and little is downloaded. `others` are packages that are installed besides.
    """

    def make(version: str) -> str:
        requirements = (f"{package}=={version}", *others)
        # Versions such as 2.9.0+cpu have signs that the name of an environment may not have.
        spelled = re.sub(r"[^A-Za-z0-9_.-]", "-", version)
        name = f"{'blame' if shared else 'blame-whole'}-{package}-{spelled}"
        there = environments.find(name)
        if there is not None and not (there.works and there.requirements == requirements):
            environments.remove(name)
            there = None
        if there is None:
            environments.create(name, requirements, installer, shared=shared)
        return name

    return make
