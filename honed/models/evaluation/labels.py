"""The names of a classifier's labels, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.errors import UsageError, did_you_mean

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Labels:
    """In the order of the logits."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Labels:
        """`id2label`, else `label2id`, else as many nameless ones as the library's default."""
        named = config.get("id2label")
        if isinstance(named, Mapping) and named:
            ordered = {int(place): str(name) for place, name in named.items()}
            return cls(tuple(ordered[place] for place in sorted(ordered)))
        places = config.get("label2id")
        if isinstance(places, Mapping) and places:
            return cls(tuple(str(name) for name in sorted(places, key=lambda n: int(places[n]))))
        count = int(config.get("num_labels") or 2)
        return cls(tuple(f"LABEL_{place}" for place in range(count)))

    @property
    def count(self) -> int:
        return len(self.names)

    def index(self, value: Any, where: str) -> int:
        """The place of a label given by its name or by its number."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < self.count:
            return value
        if isinstance(value, str):
            for same in (value, value.strip().lower()):
                for place, name in enumerate(self.names):
                    if same in (name, name.lower()):
                        return place
        known = ", ".join(self.names[:_SHOWN]) + (", ..." if self.count > _SHOWN else "")
        near = did_you_mean(str(value), self.names)
        raise UsageError(
            f"{where}: {value!r} is no label of this model",
            f"{near} it knows {known}, or their numbers from 0".strip(),
        )
