"""How one types a distribution of sequence lengths: 8..512, normal(120,40), or a file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from honed.errors import UsageError, did_you_mean

Kind = Literal["uniform", "normal", "lognormal", "histogram"]

# How each distribution is typed.
FORMS = {"uniform": "uniform(LEAST,MOST)", "normal": "normal(MEAN,SD)",
         "lognormal": "lognormal(MEAN,SD)"}  # fmt: skip
FILES = (".json", ".jsonl", ".csv")
HOW = "lengths=8..512, 'lengths=lognormal(120,80)' or lengths=histogram.json"

_CALL = re.compile(r"([A-Za-z_]+)\s*\((.*)\)")
_RANGE = re.compile(r"(\d+)\s*\.\.\s*(\d+)")
# A normal distribution of lengths must keep 1 at least this many standard deviations under its
# mean: at two, one length in 44 is cut off.
_BELOW_ONE_SDS = 2.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """A distribution of tokens per sequence: two numbers, or the file of a histogram."""

    kind: Kind
    first: float = 0
    second: float = 0
    path: str = ""

    @property
    def longest(self) -> int | None:
        """None where the distribution has no end, or the file was not read yet."""
        return int(self.second) if self.kind == "uniform" else None

    def __str__(self) -> str:
        return self.path or f"{self.kind}({self.first:.12g},{self.second:.12g})"


def parse(text: str) -> Lengths:
    """The distribution that `text` names; UsageError, with what to type, if it names none."""
    words = text.strip()
    if spread := _RANGE.fullmatch(words):
        return _checked(Lengths("uniform", float(spread[1]), float(spread[2])))
    if call := _CALL.fullmatch(words):
        return _called(words, call[1].lower(), call[2])
    if PurePath(words).suffix.lower() in FILES:
        return Lengths("histogram", path=words)
    if words.isdigit():
        raise UsageError(f"lengths={words} is one length", f"sequence_length={words}")
    raise UsageError(f"lengths={text} is no distribution and no histogram file", HOW)


def looks_like(text: str) -> bool:
    """Whether the text is meant as a distribution, correctly written or not."""
    call = _CALL.fullmatch(text.strip())
    return bool(_RANGE.fullmatch(text.strip()) or (call and call[1].lower() in FORMS))


def split(text: str) -> Iterator[str]:
    """The parts between commas, without their quotes; commas inside brackets or quotes do not
    separate."""
    part, depth, quote = "", 0, ""
    for sign in text:
        if sign == "," and not depth and not quote:
            yield _unquoted(part)
            part = ""
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign == "(") - (sign == ")")
        part += sign
    yield _unquoted(part)


def swept(text: str) -> list[str]:
    """The values of a sweep in one word: `uniform(8,64),8..512`, `choice(8..64,8..512)`."""
    inside = re.fullmatch(r"choice\((.*)\)", text.strip())
    return list(split(inside[1] if inside else text))


def _unquoted(part: str) -> str:
    text = part.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _called(words: str, name: str, inside: str) -> Lengths:
    if name not in FORMS:
        near = did_you_mean(name, FORMS)
        raise UsageError(f"lengths={words}: no distribution is called {name}", near or HOW)
    try:
        first, second = (float(part) for part in inside.split(","))
    except ValueError:
        raise UsageError(f"lengths={words} needs two numbers", f"lengths={FORMS[name]}") from None
    return _checked(Lengths(name, first, second))  # type: ignore[arg-type]


def _checked(lengths: Lengths) -> Lengths:
    first, second = lengths.first, lengths.second
    if not (math.isfinite(first) and math.isfinite(second)):
        raise UsageError(f"lengths={lengths} is not finite", HOW)
    if lengths.kind == "uniform":
        if not (1 <= first <= second and first.is_integer() and second.is_integer()):
            message = f"lengths={lengths} needs two whole numbers, the lesser first"
            raise UsageError(message, "lengths=8..512")
        return lengths
    if first < 1 or second <= 0:
        raise UsageError(f"lengths={lengths} needs a mean of 1 or more and a spread over 0", HOW)
    if lengths.kind == "normal" and first < _BELOW_ONE_SDS * second:
        raise UsageError(
            f"lengths={lengths} would give lengths below 1",
            f"lengths=lognormal({first:.12g},{second:.12g})",
        )
    return lengths
