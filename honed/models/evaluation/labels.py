"""The names of a classifier's labels, from its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from honed.errors import UsageError, did_you_mean

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Labels:
    """Label names, in the order of the logits."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Labels:
        """From `id2label`, else `label2id`, else LABEL_0, LABEL_1, ... like transformers."""
        names_by_place = config.get("id2label")
        if isinstance(names_by_place, Mapping) and names_by_place:
            ordered = {int(place): str(name) for place, name in names_by_place.items()}
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
        """The place of a label that is given by name or by number."""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < self.count:
            return value
        if isinstance(value, str):
            for spelling in (value, value.strip().lower()):
                for place, name in enumerate(self.names):
                    if spelling in (name, name.lower()):
                        return place
        known = ", ".join(self.names[:_SHOWN]) + (", ..." if self.count > _SHOWN else "")
        near = did_you_mean(str(value), self.names)
        raise UsageError(
            f"{where}: {value!r} is not a label of this model",
            f"{near} its labels: {known}, or their numbers from 0".strip(),
        )
