"""The simulated allocator of CUDA, by cases worked out from its rules by hand."""

import random
from itertools import pairwise

import pytest

from mmspec.cost.allocator import Allocator, Event, Reserved, simulate

KIB, MIB = 1 << 10, 1 << 20


def born(*sizes):
    return [Event(number, size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("size", "block", "segment"),
    [
        (1, 512, 2 * MIB),
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),  # the last that is small
        (MIB + 1, MIB + 512, 20 * MIB),
        (10 * MIB - 1, 10 * MIB, 10 * MIB),  # rounded up first, and then it is large
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (11 * MIB, 11 * MIB, 12 * MIB),  # a segment of its own in steps of 2 MiB; 1 MiB is left over: not split off
    ],
)
def test_a_request_is_rounded_to_a_block_and_comes_from_a_segment(size, block, segment):
    allocated = segment if size == 11 * MIB else block
    assert simulate(born(size)) == Reserved(size, allocated, segment)


def test_small_ones_share_a_segment_until_it_is_full():
    assert simulate(born(*[512 * KIB] * 4)).reserved == 2 * MIB
    assert simulate(born(*[512 * KIB] * 5)).reserved == 4 * MIB


def test_small_and_large_ones_have_pools_of_their_own():
    assert simulate(born(MIB, 2 * MIB)).reserved == 22 * MIB


def test_what_is_freed_is_used_again_and_stays_reserved():
    events = [Event(1, 30 * MIB), Event(1, -30 * MIB), Event(2, 30 * MIB)]
    assert simulate(events) == Reserved(30 * MIB, 30 * MIB, 30 * MIB)


def test_the_smallest_free_block_that_is_large_enough_is_taken():
    allocator = Allocator()
    wide, narrow = allocator.take(40 * MIB), allocator.take(30 * MIB)
    allocator.give(wide)
    allocator.give(narrow)
    assert allocator.take(29 * MIB) is narrow
    assert allocator.take(39 * MIB) is wide
    assert allocator.reserved == 70 * MIB


def test_of_a_large_block_a_mebibyte_is_not_split_off_and_more_is():
    for size, left in ((29 * MIB, 0), (28 * MIB, 2 * MIB)):
        allocator = Allocator()
        allocator.give(allocator.take(30 * MIB))
        allocator.take(size)
        assert allocator.allocated == 30 * MIB - left
        assert bool(left) == (allocator.take(2 * MIB) is not None and allocator.reserved == 30 * MIB)


def test_freed_neighbours_are_one_block_again():
    allocator = Allocator()
    a, b, c = (allocator.take(6 * MIB) for _ in range(3))  # 18 of 20 MiB
    allocator.give(a)
    allocator.give(c)  # joins the 2 MiB behind it
    allocator.take(8 * MIB)
    assert allocator.reserved == 20 * MIB, "6 + 2 MiB hold 8"
    allocator.give(b)
    allocator.take(9 * MIB)
    assert allocator.reserved == 20 * MIB, "6 + 6 MiB hold 9"


def test_holes_that_are_too_small_are_why_more_is_reserved_than_allocated():
    allocator = Allocator()
    blocks = [allocator.take(5 * MIB) for _ in range(4)]
    for block in blocks[::2]:
        allocator.give(block)
    allocator.take(6 * MIB)
    assert (allocator.allocated, allocator.reserved) == (16 * MIB, 40 * MIB)


@pytest.mark.parametrize("seed", range(5))
def test_blocks_never_overlap_and_fill_their_segments(seed):
    chance, allocator, held = random.Random(seed), Allocator(), []
    for _ in range(400):
        if held and chance.random() < 0.45:
            allocator.give(held.pop(chance.randrange(len(held))))
        else:
            held.append(allocator.take(chance.choice((1, 700, 90_000, MIB, 3 * MIB, 12 * MIB + 5))))
        spans = sorted((block.address, block.address + block.size) for block in held)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert sum(block.size for block in held) == allocator.allocated <= allocator.reserved
    for block in held:
        allocator.give(block)
    assert allocator.allocated == 0
    before = allocator.reserved
    assert sum(size for pool in allocator._free.values() for size, _ in pool) == before, (
        "every segment is whole and free"
    )


def test_a_tensor_of_no_bytes_asks_for_nothing():
    assert simulate([Event(1, 0), Event(1, 0)]) == Reserved(0, 0, 0)
