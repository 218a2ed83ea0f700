"""The sentence of a search: the release, by how much, and between which."""

from __future__ import annotations

from honed.blame.outcome import Blame
from honed.compare.outcome import Contrast
from honed.compare.say import difference, interval


def headline(of: Blame) -> str:
    """For example `onnxruntime 1.29.0 is slower than 1.28.1 by 7.0 % (95 % interval ...)`."""
    first, last = of.releases[0], of.releases[-1]
    match of.ended:
        case "found":
            assert of.before is not None
            assert of.guilty is not None
            contrast = Contrast(of.guilty, of.before, "slower", of.ratio, blocks=0)
            return f"{of.package} {difference(contrast, of.metric)}"
        case "not slower":
            return f"{of.package} {last} is not slower than {first} ({interval(of.whole)})"
        case "interrupted":
            return f"{of.package}: stopped before the search ended"
    if of.before is None:
        return f"{of.package}: undecided whether {last} is slower than {first}: {of.reason}"
    found = f" ({interval(of.ratio)})" if of.ratio.value is not None else ""
    return (
        f"{of.package}: slower after {of.before}, by {of.guilty} at the latest{found}: {of.reason}"
    )
