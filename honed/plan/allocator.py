"""PyTorch's CUDA caching allocator, simulated: requested, allocated and reserved bytes.

The rules are those of c10/cuda/CUDACachingAllocator.cpp with its default settings:

- A request is rounded up to 512 bytes. No memory is taken for a request of 0 bytes.
- Requests up to 1 MiB come from the small pool, the others from the large pool.
- The smallest free block that is large enough is used; of equal ones, that at the lowest address.
- If there is none, a new segment is taken from the device: 2 MiB for the small pool, 20 MiB for
  requests below 10 MiB, and otherwise the request rounded up to 2 MiB.
- A block is split if at least 512 bytes (small pool) or more than 1 MiB (large pool) would be left
  over. Otherwise the remainder stays a part of the block and counts as allocated.
- A freed block is joined with free neighbours in its segment. The segment itself stays reserved.
- If the device has no room for a segment, all wholly free segments are returned to it first.

With expandable segments each pool is one range of addresses that grows at its end by 2 MiB or 20
MiB, and every block is split down to 512 bytes. Memory is returned from the end of a range only;
the real allocator also returns pages from the middle, and does so where the device is full.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

KIB, MIB, GIB = 2**10, 2**20, 2**30
SMALLEST_BLOCK = 512
SMALL_REQUEST = 1 * MIB
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
OWN_SEGMENT = 10 * MIB  # requests of this size or more get a segment that fits them
SEGMENT_STEP = 2 * MIB


class AllocationFailedError(Exception):
    """The device has no room for `size_bytes`; `reserved_bytes` are held."""

    def __init__(self, size_bytes: int, reserved_bytes: int) -> None:
        super().__init__(f"no room for {size_bytes} bytes beside {reserved_bytes}")
        self.size_bytes = size_bytes
        self.reserved_bytes = reserved_bytes


class Allocator(Protocol):
    """Memory of one device, in bytes. A handle names an allocation until it is freed."""

    @property
    def requested_bytes(self) -> int: ...

    @property
    def allocated_bytes(self) -> int: ...

    @property
    def reserved_bytes(self) -> int: ...

    def allocate(self, size_bytes: int) -> int:
        """The handle of a new allocation; AllocationFailedError where the device is full."""

    def free(self, handle: int) -> None: ...


def rounded(size_bytes: int, step_bytes: int) -> int:
    """The least multiple of `step_bytes` that is not less."""
    return -(-size_bytes // step_bytes) * step_bytes


def _step_bytes(is_small: bool) -> int:
    """By how much an expandable range grows."""
    return SMALL_SEGMENT if is_small else LARGE_SEGMENT


@dataclass(slots=True, eq=False)
class Piece:
    """A part of a segment, which is a chain of pieces. `requested_bytes` is None if it is free."""

    address: int
    size_bytes: int
    is_small: bool
    requested_bytes: int | None = None
    before: Piece | None = None
    after: Piece | None = None

    @property
    def entry(self) -> tuple[int, int, Piece]:
        """The piece in a list of free ones, which is sorted by size and then address. No two
        pieces have the same address, so that pieces themselves are never compared."""
        return self.size_bytes, self.address, self


_Pool = list[tuple[int, int, Piece]]


class CachingAllocator:
    """The simulator. `capacity_bytes` is what the device has for segments; None is no limit."""

    def __init__(self, capacity_bytes: int | None = None, *, expandable: bool = False) -> None:
        self.requested_bytes = 0
        self.allocated_bytes = 0
        self.reserved_bytes = 0
        self._capacity_bytes = capacity_bytes
        self._expandable = expandable
        # Free pieces of the large pool [0] and of the small pool [1], by size and then address.
        self._free: tuple[_Pool, _Pool] = ([], [])
        self._used: dict[int, Piece] = {}
        self._next_handle = 0
        self._next_address = 0
        self._ends: list[Piece | None] = [None, None]  # the last piece of each expandable range

    def allocate(self, size_bytes: int) -> int:
        handle = self._next_handle
        self._next_handle += 1
        if size_bytes == 0:
            return handle
        size = rounded(size_bytes, SMALLEST_BLOCK)
        is_small = size <= SMALL_REQUEST
        piece = self._best_fit(size, is_small) or self._from_device(size, is_small)
        if self._is_split(piece.size_bytes - size, is_small):
            self._split(piece, size)
        piece.requested_bytes = size_bytes
        self._used[handle] = piece
        self.requested_bytes += size_bytes
        self.allocated_bytes += piece.size_bytes
        return handle

    def free(self, handle: int) -> None:
        piece = self._used.pop(handle, None)
        if piece is None:  # it was a request of 0 bytes
            return
        assert piece.requested_bytes is not None
        self.requested_bytes -= piece.requested_bytes
        self.allocated_bytes -= piece.size_bytes
        piece.requested_bytes = None
        for neighbour in (piece.before, piece.after):
            if neighbour is not None and neighbour.requested_bytes is None:
                self._take(neighbour)
                self._join(piece, neighbour)
        self._put(piece)

    def empty_cache(self) -> None:
        """Return the segments that are wholly free to the device; of an expandable range, the
        steps at its end that are."""
        if self._expandable:
            for is_small in (False, True):
                self._shrink(is_small)
            return
        for pool in self._free:
            whole = [each for *_, each in pool if each.before is None and each.after is None]
            for piece in whole:
                self._take(piece)
                self.reserved_bytes -= piece.size_bytes

    def pieces(self) -> Iterator[Piece]:
        """Every piece of every segment, in no fixed order."""
        yield from self._used.values()
        for pool in self._free:
            yield from (piece for *_, piece in pool)

    def _best_fit(self, size: int, is_small: bool) -> Piece | None:
        pool = self._free[is_small]
        place = bisect.bisect_left(pool, (size,))
        if place == len(pool):
            return None
        if self._expandable and pool[place][2] is self._ends[is_small] and place + 1 < len(pool):
            place += 1  # the piece at the end can grow, so it counts as larger than all others
        return pool.pop(place)[2]

    def _from_device(self, size: int, is_small: bool) -> Piece:
        if self._expandable:
            return self._grown(size, is_small)
        if is_small:
            segment = SMALL_SEGMENT
        elif size < OWN_SEGMENT:
            segment = LARGE_SEGMENT
        else:
            segment = rounded(size, SEGMENT_STEP)
        if not self._has_room(segment):
            self.empty_cache()
        if not self._has_room(segment):
            raise AllocationFailedError(size, self.reserved_bytes)
        return self._segment(segment, is_small)

    def _has_room(self, size: int) -> bool:
        return self._capacity_bytes is None or self.reserved_bytes + size <= self._capacity_bytes

    def _segment(self, size: int, is_small: bool) -> Piece:
        self.reserved_bytes += size
        piece = Piece(self._next_address, size, is_small)
        self._next_address += size
        return piece

    def _grown(self, size: int, is_small: bool) -> Piece:
        """A piece at the end of the pool's range, which grows by as many steps as are missing."""
        end = self._ends[is_small]
        last = end if end is not None and end.requested_bytes is None else None
        missing = size - (last.size_bytes if last else 0)
        step = rounded(missing, _step_bytes(is_small))
        if not self._has_room(step):
            raise AllocationFailedError(size, self.reserved_bytes)
        self.reserved_bytes += step
        if last is not None:
            self._take(last)
            last.size_bytes += step
            return last
        # The two ranges are so far apart that they never meet.
        start = end.address + end.size_bytes if end is not None else int(is_small) << 50
        piece = Piece(start, step, is_small, before=end)
        if end is not None:
            end.after = piece
        self._ends[is_small] = piece
        return piece

    def _shrink(self, is_small: bool) -> None:
        """Return the whole steps of the free piece at the end of the pool's range."""
        last = self._ends[is_small]
        if last is None or last.requested_bytes is not None:
            return
        # A range begins and ends at a multiple of its step.
        kept = rounded(last.address, _step_bytes(is_small)) - last.address
        if kept >= last.size_bytes:
            return
        self._take(last)
        self.reserved_bytes -= last.size_bytes - kept
        last.size_bytes = kept
        if kept:
            self._put(last)
            return
        self._ends[is_small] = last.before
        if last.before is not None:
            last.before.after = None

    def _is_split(self, remainder: int, is_small: bool) -> bool:
        if is_small or self._expandable:
            return remainder >= SMALLEST_BLOCK
        return remainder > SMALL_REQUEST

    def _split(self, piece: Piece, size: int) -> None:
        """Cut `piece` to `size` bytes; the rest becomes a free piece behind it."""
        rest = Piece(piece.address + size, piece.size_bytes - size, piece.is_small,
                     before=piece, after=piece.after)  # fmt: skip
        if piece.after is not None:
            piece.after.before = rest
        elif self._ends[piece.is_small] is piece:
            self._ends[piece.is_small] = rest
        piece.after = rest
        piece.size_bytes = size
        self._put(rest)

    def _join(self, piece: Piece, neighbour: Piece) -> None:
        """Make `neighbour`, which is next to `piece`, a part of it."""
        piece.size_bytes += neighbour.size_bytes
        if piece.before is neighbour:
            piece.address = neighbour.address
            piece.before = neighbour.before
            if piece.before is not None:
                piece.before.after = piece
        else:
            piece.after = neighbour.after
            if piece.after is not None:
                piece.after.before = piece
        if self._ends[piece.is_small] is neighbour:
            self._ends[piece.is_small] = piece

    def _put(self, piece: Piece) -> None:
        bisect.insort(self._free[piece.is_small], piece.entry)

    def _take(self, piece: Piece) -> None:
        pool = self._free[piece.is_small]
        place = bisect.bisect_left(pool, piece.entry)
        assert pool[place][2] is piece
        del pool[place]


class PlainAllocator:
    """PyTorch's CPU allocator, which asks the C library for each tensor and caches nothing.

    Sizes are rounded up to 64 bytes, because tensors are aligned to them. What the C library keeps
    for itself is not counted here.
    """

    ALIGNMENT = 64

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.requested_bytes = 0
        self.allocated_bytes = 0
        self._capacity_bytes = capacity_bytes
        self._sizes: list[int] = []

    @property
    def reserved_bytes(self) -> int:
        return self.allocated_bytes

    def allocate(self, size_bytes: int) -> int:
        size = rounded(size_bytes, self.ALIGNMENT)
        if self._capacity_bytes is not None and self.allocated_bytes + size > self._capacity_bytes:
            raise AllocationFailedError(size_bytes, self.allocated_bytes)
        self._sizes.append(size_bytes)
        self.requested_bytes += size_bytes
        self.allocated_bytes += size
        return len(self._sizes) - 1

    def free(self, handle: int) -> None:
        size_bytes, self._sizes[handle] = self._sizes[handle], 0
        self.requested_bytes -= size_bytes
        self.allocated_bytes -= rounded(size_bytes, self.ALIGNMENT)
