"""Reading ahead: one thread lets the kernel read the next layer while this one is computed.

It only does so where weights come from the disk, which the call before shows. From a warm page
cache there is nothing to read, and looking for it would cost time.
"""

from __future__ import annotations

import resource
import threading
from collections.abc import Sequence
from types import TracebackType

from honed.backends.lowmem.mapped import MappedWeights

_LAYERS_AHEAD = 2  # a double buffer: the layer that is computed, and the one that is read


def disk_reads() -> int:
    """How often the kernel read from a disk for this process so far: blocks that were asked for,
    by reading ahead too, and page faults that waited for a file system that counts no blocks."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_inblock + usage.ru_majflt


class ReadAhead:
    """Inside the block, layers are read in order, each when the one two before it is done."""

    def __init__(self, mapped: MappedWeights, layers: Sequence[Sequence[str]]) -> None:
        """`layers`: the names of the tensors of each layer."""
        self._mapped, self._layers = mapped, layers
        self._room = threading.Semaphore(_LAYERS_AHEAD)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def done_with_a_layer(self) -> None:
        """The caller needs the oldest layer no more."""
        self._room.release()

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ended.set()
        self._room.release()
        self._thread.join()

    def _read(self) -> None:
        for names in self._layers:
            self._room.acquire()
            if self._ended.is_set():
                return
            self._mapped.will_need(names)
