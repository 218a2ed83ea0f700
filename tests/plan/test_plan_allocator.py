"""The simulated allocator: traces computed by hand, and what holds for every trace."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honed.plan.allocator import (
    GIB,
    KIB,
    MIB,
    AllocationFailedError,
    CachingAllocator,
    PlainAllocator,
)


def sizes_of(allocator: CachingAllocator) -> tuple[int, int, int]:
    return allocator.requested_bytes, allocator.allocated_bytes, allocator.reserved_bytes


def test_a_small_request_is_rounded_to_512_bytes_in_a_segment_of_2_mib() -> None:
    device = CachingAllocator()
    device.allocate(1)
    assert sizes_of(device) == (1, 512, 2 * MIB)
    device.allocate(513)
    assert sizes_of(device) == (514, 512 + 1024, 2 * MIB)


def test_nothing_is_taken_for_no_bytes() -> None:
    device = CachingAllocator()
    device.free(device.allocate(0))
    assert sizes_of(device) == (0, 0, 0)


@pytest.mark.parametrize(
    ("size", "reserved"),
    [
        (1 * MIB, 2 * MIB),
        (1 * MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (11 * MIB, 12 * MIB),
        (21 * MIB - 1, 22 * MIB),
    ],
)
def test_the_segment_depends_on_the_size(size: int, reserved: int) -> None:
    device = CachingAllocator()
    device.allocate(size)
    assert device.reserved_bytes == reserved


def test_a_remainder_of_up_to_1_mib_stays_with_a_large_block() -> None:
    device = CachingAllocator()
    device.allocate(11 * MIB)  # a segment of 12 MiB: 1 MiB is left over, and is not split off
    assert sizes_of(device) == (11 * MIB, 12 * MIB, 12 * MIB)
    device = CachingAllocator()
    device.allocate(11 * MIB - 512)  # 1 MiB + 512 bytes would be left in 12 MiB
    assert sizes_of(device) == (11 * MIB - 512, 11 * MIB - 512, 12 * MIB)


def test_thirteen_tensors_of_one_and_a_half_mib_share_a_segment() -> None:
    """The last one gets the 0.5 MiB that are left: why BERT needs more than its tensors."""
    device = CachingAllocator()
    for _ in range(13):
        device.allocate(3 * MIB // 2)
    assert sizes_of(device) == (13 * 3 * MIB // 2, 20 * MIB, 20 * MIB)


def test_the_smallest_free_block_that_is_large_enough_is_used() -> None:
    device = CachingAllocator()
    large, small = device.allocate(40 * MIB), device.allocate(30 * MIB)
    device.free(large)
    device.free(small)
    device.allocate(30 * MIB)
    assert device.reserved_bytes == 70 * MIB
    device.allocate(40 * MIB)
    assert device.reserved_bytes == 70 * MIB


def test_freed_neighbours_become_one_block() -> None:
    device = CachingAllocator()
    handles = [device.allocate(4 * MIB) for _ in range(5)]  # one segment of 20 MiB
    for handle in (handles[1], handles[3], handles[2]):
        device.free(handle)
    device.allocate(12 * MIB)  # the three in the middle
    assert device.reserved_bytes == 20 * MIB


def test_small_and_large_requests_never_share_a_segment() -> None:
    device = CachingAllocator()
    device.free(device.allocate(20 * MIB))
    device.allocate(512 * KIB)
    assert device.reserved_bytes == 22 * MIB


def test_a_full_device_first_gets_back_the_free_segments() -> None:
    device = CachingAllocator(30 * MIB)
    device.free(device.allocate(20 * MIB))
    device.allocate(24 * MIB)
    assert device.reserved_bytes == 24 * MIB
    with pytest.raises(AllocationFailedError) as failure:
        device.allocate(8 * MIB)
    assert (failure.value.size_bytes, failure.value.reserved_bytes) == (8 * MIB, 24 * MIB)


def test_a_segment_that_is_partly_used_is_not_given_back() -> None:
    device = CachingAllocator(20 * MIB)
    first, _ = device.allocate(8 * MIB), device.allocate(8 * MIB)
    device.free(first)
    with pytest.raises(AllocationFailedError):
        device.allocate(12 * MIB)


def test_an_expandable_segment_grows_at_its_end_and_leaves_no_remainder() -> None:
    device = CachingAllocator(expandable=True)
    first = device.allocate(15 * MIB)
    assert sizes_of(device) == (15 * MIB, 15 * MIB, 20 * MIB)
    device.allocate(15 * MIB)  # the free 5 MiB and 20 MiB more
    assert device.reserved_bytes == 40 * MIB
    device.free(first)
    device.allocate(12 * MIB)  # the hole, although the end could grow
    assert device.reserved_bytes == 40 * MIB


def test_an_emptied_expandable_range_gives_back_the_steps_at_its_end() -> None:
    device = CachingAllocator(expandable=True)
    first, second = device.allocate(15 * MIB), device.allocate(30 * MIB)
    assert device.reserved_bytes == 60 * MIB
    device.free(second)
    device.empty_cache()  # what lies behind 20 MiB; the step of the first tensor stays
    assert sizes_of(device) == (15 * MIB, 15 * MIB, 20 * MIB)
    device.free(first)
    device.empty_cache()
    assert device.reserved_bytes == 0
    device.allocate(30 * MIB)
    assert device.reserved_bytes == 40 * MIB


def test_the_cpu_allocator_keeps_nothing() -> None:
    memory = PlainAllocator(1 * KIB)
    handle = memory.allocate(65)
    assert (memory.requested_bytes, memory.allocated_bytes, memory.reserved_bytes) == (
        65,
        128,
        128,
    )
    memory.free(handle)
    assert (memory.requested_bytes, memory.reserved_bytes) == (0, 0)
    with pytest.raises(AllocationFailedError):
        memory.allocate(2 * KIB)


REQUESTS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 2 * KIB), st.integers(0, 3 * MIB), st.integers(0, 40 * MIB)),
        st.booleans(),
        st.integers(0, 99),
    ),
    max_size=60,
)


@given(REQUESTS, st.booleans(), st.sampled_from([None, 1 * GIB, 64 * MIB]))
@settings(max_examples=150, deadline=None)
def test_blocks_never_overlap_and_no_byte_is_lost(
    requests: list[tuple[int, bool, int]], expandable: bool, capacity: int | None
) -> None:
    device = CachingAllocator(capacity, expandable=expandable)
    held: dict[int, int] = {}
    for size, frees, which in requests:
        if which % 10 == 0:
            device.empty_cache()
            check(device, held)
        if frees and held:
            handle = sorted(held)[which % len(held)]
            device.free(handle)
            del held[handle]
        else:
            try:
                held[device.allocate(size)] = size
            except AllocationFailedError:
                assert capacity is not None
        check(device, held)
    for handle in list(held):
        device.free(handle)
    assert (device.requested_bytes, device.allocated_bytes) == (0, 0)
    assert all(piece.requested_bytes is None for piece in device.pieces())
    if not expandable:  # all that was split is whole again
        assert all(p.before is None and p.after is None for p in device.pieces())


def check(device: CachingAllocator, held: dict[int, int]) -> None:
    pieces = sorted(device.pieces(), key=lambda piece: piece.address)
    for one, next_one in itertools.pairwise(pieces):
        assert one.address + one.size_bytes <= next_one.address
        assert one.after is not next_one or one.address + one.size_bytes == next_one.address
    assert sum(piece.size_bytes for piece in pieces) == device.reserved_bytes
    used = [piece for piece in pieces if piece.requested_bytes is not None]
    assert sum(piece.size_bytes for piece in used) == device.allocated_bytes
    assert sorted(p.requested_bytes or 0 for p in used) == sorted(s for s in held.values() if s)
    assert sum(held.values()) == device.requested_bytes <= device.allocated_bytes
    for piece in used:
        assert piece.requested_bytes is not None
        assert piece.requested_bytes <= piece.size_bytes
    for piece in pieces:  # free neighbours are always joined
        if piece.after is not None and piece.requested_bytes is None:
            assert piece.after.requested_bytes is not None
