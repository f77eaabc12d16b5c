"""plan.py: quotas, the permutation that is computed and never stored, draws, cursors and shortages."""

import itertools
import math
import tracemalloc
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex_core.errors import DataError, DataflexError, StrategyFault
from dataflex_core.planning.exhaustion import Exhaustion, Shortage, left_over, supply
from dataflex_core.planning.plan import interleaved, shuffled, stretched
from dataflex_core.planning.quotas import normalised, quotas
from dataflex_core.planning.reading import permute, read, read_distinct
from dataflex_core.rng import derive

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 256, 257, 1000, 1024, 4095, 4096, 4097, 65536, 10**6]


def proportions_of(count):
    weight = st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    return st.lists(weight, min_size=count, max_size=count).filter(lambda p: sum(p) > 0)


# ---------------------------------------------------------------------------------------------------------- derive


@pytest.mark.parametrize("key", [(), (0,), (-1,), (2**64,), ("a", 3), ("é",)])
def test_derive_depends_on_the_key_and_on_nothing_else(key):
    first = derive(*key).integers(0, 2**63, 4).tolist()
    np.random.seed(5)
    np.random.random(3)
    state = np.random.get_state()[1].tolist()
    assert derive(*key).integers(0, 2**63, 4).tolist() == first
    assert np.random.get_state()[1].tolist() == state


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0,), (1,)),
        ((1,), (-1,)),
        ((1, 2), (2, 1)),
        ((1,), ("1",)),
        ((1,), (1, 0)),
        (("abcdefgh", "i"), ("abcd", "efghi")),
        (("a",), ("a", "")),
        ((), ("",)),
        ((2**32,), (1,)),
        (("abcd",), ("abcde",)),
    ],
)
def test_derive_depends_on_the_whole_key(one, other):
    assert derive(*one).integers(0, 2**63, 4).tolist() != derive(*other).integers(0, 2**63, 4).tolist()


# ----------------------------------------------------------------------------------------------------- permutation


@pytest.mark.parametrize("size", SIZES)
def test_a_permutation_is_a_bijection(size):
    assert np.array_equal(np.sort(permute(np.arange(size), size, 7, "key")), np.arange(size))


@given(size=st.integers(1, 3000), key=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_permutation_is_a_bijection_for_any_size_and_key(size, key):
    found = permute(np.arange(size), size, key)
    assert found.dtype == np.int64
    assert np.array_equal(np.sort(found), np.arange(size))


def test_parts_of_a_permutation_agree_with_the_whole():
    whole = permute(np.arange(1000), 1000, 3)
    at = np.array([999, 0, 17, 500])
    assert permute(at, 1000, 3).tolist() == whole[at].tolist()
    assert permute(17, 1000, 3).tolist() == [whole[17]]
    assert permute([], 1000, 3).tolist() == []


@pytest.mark.parametrize("other", [(4, "a"), (3, "b"), (3,), (3, "a", 0)])
def test_a_permutation_differs_by_key(other):
    one = permute(np.arange(200), 200, 3, "a")
    assert one.tolist() == permute(np.arange(200), 200, 3, "a").tolist()
    # Two unrelated permutations agree in one place on average.
    assert (one == permute(np.arange(200), 200, *other)).sum() < 10
    assert (one == np.arange(200)).sum() < 10


def chi_square(counts, cells, total):
    expected = total / cells
    return (sum((n - expected) ** 2 for n in counts) + (cells - len(counts)) * expected**2) / expected


@pytest.mark.parametrize("size", [2, 3, 5, 8, 17, 64])
def test_the_first_element_lands_anywhere_equally_often_over_keys(size):
    landed = Counter(int(permute(0, size, key)[0]) for key in range(1000))
    freedom = size - 1
    assert chi_square(landed.values(), size, 1000) < freedom + 5 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("size", [3, 4])
def test_every_order_of_a_small_domain_is_equally_likely(size):
    seen = Counter(tuple(permute(np.arange(size), size, key).tolist()) for key in range(1200))
    orders = math.factorial(size)
    assert len(seen) == orders
    assert chi_square(seen.values(), orders, 1200) < (orders - 1) + 5 * math.sqrt(2 * (orders - 1))


def test_neighbours_do_not_stay_neighbours():
    found = permute(np.arange(10_000), 10_000, 1)
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.05
    assert abs(np.corrcoef(found, np.arange(10_000))[0, 1]) < 0.05


def test_reading_an_interval_of_a_huge_pool_takes_the_memory_of_the_interval():
    count = 10_000
    tracemalloc.start()
    found = read(0, 10**8, 5 * 10**7, count, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.nbytes == 8 * count
    assert len(set(found.tolist())) == count
    assert found.max() < 10**8
    assert peak < 30 * found.nbytes


# ------------------------------------------------------------------------------------------------------------ read


@pytest.mark.parametrize(("first", "second"), [(5, 7), (0, 12), (12, 0), (10, 2), (11, 1), (1, 35)])
def test_reading_twice_is_reading_once(first, second):
    once = read(100, 10, 0, first + second, 3)
    twice = np.concatenate([read(100, 10, 0, first, 3), read(100, 10, first, second, 3)])
    assert once.dtype == np.int64
    assert once.tolist() == twice.tolist()


@pytest.mark.parametrize("cursor", [0, 3, 9, 10, 27])
@pytest.mark.parametrize("count", [0, 1, 4, 9, 10])
def test_different_samples_are_the_next_ones_each_once(cursor, count):
    ids, number = read_distinct(5, 10, cursor, count, 1, "k")
    all_read = read(5, 10, cursor, number, 1, "k").tolist()
    assert ids.tolist() == list(dict.fromkeys(all_read))
    assert len(ids) == count
    assert count == 0 or all_read[-1] == ids[-1], "no more is read than it takes"
    assert number == count or cursor % 10 + count > 10


def test_every_pass_reads_the_domain_once_in_another_order():
    passes = read(100, 50, 0, 150, 3).reshape(3, 50).tolist()
    assert all(sorted(p) == list(range(100, 150)) for p in passes)
    assert passes[0] != passes[1] != passes[2] != passes[0]


# ---------------------------------------------------------------------------------------------- normalised, quotas


@pytest.mark.numeric
@pytest.mark.parametrize(
    "given_", [[1, 1, 2], np.array([0.25, 0.25, 0.5]), [0, 0, 3], [1e-300, 1e-300, 1e-300], [1e308, 1e308, 1e308]]
)
def test_normalised_sums_to_one_in_the_same_ratio(given_):
    found = normalised(given_, 3)
    assert found.dtype == np.float64
    assert found.sum() == pytest.approx(1)
    assert found / found.max() == pytest.approx(np.asarray(given_) / np.max(given_))


@pytest.mark.parametrize(
    "given_",
    [[1, 1], [[1, 1, 1]], 1.0, [], [0, 0, 0], [-1, 1, 1], [float("nan"), 1, 1], [float("inf"), 1, 1]],
    ids=["short", "matrix", "scalar", "empty", "zero", "negative", "nan", "inf"],
)
def test_proportions_that_are_none_are_a_fault(given_):
    with pytest.raises(StrategyFault, match="proportions"):
        normalised(given_, 3)


@pytest.mark.parametrize(
    ("p", "count", "capacity", "found"),
    [
        ([0.5, 0.3, 0.2], 7, None, [4, 2, 1]),
        ([0.5, 0.5], 3, None, [2, 1]),
        ([0.2, 0.7, 0.1], 2, None, [1, 1, 0]),
        ([1 / 3, 1 / 3, 1 / 3], 4, None, [2, 1, 1]),
        ([1 / 3, 1 / 3, 1 / 3], 5, None, [2, 2, 1]),
        ([0.1] * 10, 1000, None, [100] * 10),
        ([1.0, 0.0], 5, None, [5, 0]),
        ([0.5, 0.3, 0.2], 0, None, [0, 0, 0]),
        ([0.5, 0.3, 0.2], 10, [2, 10, 10], [2, 5, 3]),
        ([1.0, 0.0, 0.0], 6, [2, 3, 1], [2, 3, 1]),
        ([1.0, 0.0, 0.0], 6, [2, 30, 10], [2, 3, 1]),
        ([0.5, 0.5], 10, [3, 4], [3, 4]),
        ([0.5, 0.5], 10, [0, 0], [0, 0]),
    ],
    ids=[
        "worked number",
        "tie",
        "tie but for rounding",
        "thirds",
        "two ties",
        "exact",
        "none for zero",
        "nothing",
        "full",
        "zero proportion",
        "by room",
        "all",
        "no room",
    ],
)
def test_quotas(p, count, capacity, found):
    assert quotas(p, count, capacity).tolist() == found


@given(data=st.data(), domains=st.integers(1, 8), count=st.integers(0, 10**6))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_quotas_split_exactly_and_within_one(data, domains, count):
    p = np.array(data.draw(proportions_of(domains)))
    p /= p.sum()
    found = quotas(p, count)
    assert found.sum() == count
    assert (np.abs(found - p * count) < 1 + 1e-6).all()
    assert (found[p == 0] == 0).all()


@given(data=st.data(), domains=st.integers(1, 8), count=st.integers(0, 500))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_quotas_fill_what_room_there_is_and_no_more(data, domains, count):
    p = np.array(data.draw(proportions_of(domains)))
    room = np.array(data.draw(st.lists(st.integers(0, 100), min_size=domains, max_size=domains)))
    found = quotas(p, count, room)
    assert found.sum() == min(count, room.sum())
    assert ((found >= 0) & (found <= room)).all()
    # A domain that nobody wants is read only once every wanted one is full.
    assert (found[p == 0] == 0).all() or (found[p > 0] == room[p > 0]).all()


# ------------------------------------------------------------------------------------------------------------ draw


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What a planner reads of an interval's domains, split afresh."""

    ids: tuple
    cursors: tuple
    shortages: tuple


def draw(*, proportions, count, starts, sizes, cursors, seed, policy, names=None):
    size = np.array(sizes)
    given_ = supply(
        normalised(proportions, len(size)),
        count,
        sizes=size,
        available=left_over(size, cursors, policy),
        carry=None,
        policy=policy,
        names=names or [f"domain {d}" for d in range(len(size))],
    )
    taken = given_.taken.tolist()
    ids = [
        read(s, n, c, k, seed, f"domain {d}")
        for d, (s, n, c, k) in enumerate(zip(starts, sizes, cursors, taken, strict=True))
    ]
    ends = tuple(c + k for c, k in zip(cursors, taken, strict=True))
    return Draw(ids=tuple(ids), cursors=ends, shortages=given_.shortages)


@st.composite
def runs(draw_):
    sizes = draw_(st.lists(st.integers(1, 25), min_size=1, max_size=4))
    steps = draw_(st.lists(st.tuples(proportions_of(len(sizes)), st.integers(1, 40)), min_size=1, max_size=6))
    return sizes, steps, draw_(st.integers(0, 2**31))


def starts_of(sizes):
    return [0, *itertools.accumulate(sizes)][:-1]


def drawn(sizes, steps, seed, policy):
    cursors = (0,) * len(sizes)
    for p, count in steps:
        found = draw(
            proportions=p,
            count=count,
            starts=starts_of(sizes),
            sizes=sizes,
            cursors=cursors,
            seed=seed,
            policy=policy,
        )
        yield cursors, count, p, found
        cursors = found.cursors


@pytest.mark.parametrize("policy", [Exhaustion.NEXT_EPOCH, Exhaustion.RENORMALISE])
@given(run=runs())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_a_draw_is_exactly_as_long_as_asked_and_without_replacement_inside_a_pass(policy, run):
    sizes, steps, seed = run
    streams = [[] for _ in sizes]
    for before, count, _, found in drawn(sizes, steps, seed, policy):
        assert sum(ids.size for ids in found.ids) == count
        assert found.cursors == tuple(c + ids.size for c, ids in zip(before, found.ids, strict=True))
        for stream, ids in zip(streams, found.ids, strict=True):
            stream.extend(ids.tolist())
    for start, size, stream in zip(starts_of(sizes), sizes, streams, strict=True):
        domain = set(range(start, start + size))
        for at in range(0, len(stream), size):
            one_pass = stream[at : at + size]
            assert len(set(one_pass)) == len(one_pass)
            assert set(one_pass) <= domain


@given(run=runs())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_cursors_continue_exactly_whatever_the_proportions_were(run):
    sizes, steps, seed = run
    found = [f for *_, f in drawn(sizes, steps, seed, Exhaustion.NEXT_EPOCH)]
    cursors = found[-1].cursors
    ((_, _, _, once),) = drawn(sizes, [(cursors, sum(cursors))], seed, Exhaustion.NEXT_EPOCH)
    for d in range(len(sizes)):
        assert np.concatenate([f.ids[d] for f in found]).tolist() == once.ids[d].tolist()


@given(run=runs())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_renormalise_reads_every_sample_once_before_any_twice(run):
    sizes, steps, seed = run
    times = np.zeros(sum(sizes), dtype=int)
    for *_, found in drawn(sizes, steps, seed, Exhaustion.RENORMALISE):
        for ids in found.ids:
            np.add.at(times, ids, 1)
        assert times.max() - times.min() <= 1


@given(run=runs())
@settings(max_examples=30, deadline=None, derandomize=True)
def test_next_epoch_keeps_the_quotas_and_journals_every_pass_that_ends_inside_an_interval(run):
    sizes, steps, seed = run
    for before, count, p, found in drawn(sizes, steps, seed, Exhaustion.NEXT_EPOCH):
        wanted = quotas(p, count).tolist()
        assert [ids.size for ids in found.ids] == wanted
        unread = [size - cursor % size for size, cursor in zip(sizes, before, strict=True)]
        assert found.shortages == tuple(
            Shortage(domain=d, wanted=w, had=u, action="next-epoch")
            for d, (w, u) in enumerate(zip(wanted, unread, strict=True))
            if w > u
        )


@pytest.mark.parametrize("policy", Exhaustion)
def test_a_draw_is_the_same_for_the_same_seed_and_no_other(policy):
    def ids(seed):
        ((_, _, _, found),) = drawn([20, 30], [([2, 3], 50)], seed, policy)
        return [part.tolist() for part in found.ids]

    assert ids(1) == ids(1)
    assert all(one != other for one, other in zip(ids(1), ids(2), strict=True))


DOMAINS = {"proportions": [0.5, 0.5], "starts": [0, 4], "sizes": [4, 100], "seed": 1}


def test_renormalise_lets_the_others_fill_in_and_journals_it():
    found = draw(**DOMAINS, count=20, cursors=[1, 0], policy=Exhaustion.RENORMALISE)
    assert [ids.size for ids in found.ids] == [3, 17]
    assert found.cursors == (4, 17)
    assert found.shortages == (Shortage(domain=0, wanted=10, had=3, action="renormalise"),)


def test_next_epoch_starts_the_next_pass_and_journals_it():
    found = draw(**DOMAINS, count=20, cursors=[1, 0], policy=Exhaustion.NEXT_EPOCH)
    assert [ids.size for ids in found.ids] == [10, 10]
    assert found.cursors == (11, 10)
    assert found.shortages == (Shortage(domain=0, wanted=10, had=3, action="next-epoch"),)


@pytest.mark.parametrize(("cursor", "had"), [(0, 4), (1, 3), (3, 1), (4, 0)])
def test_error_refuses_a_domain_with_too_few_unread_samples(cursor, had):
    with pytest.raises(DataError, match=f"domain 0 has {had} unread samples, the interval wants 5"):
        draw(**DOMAINS, count=10, cursors=[cursor, 0], policy=Exhaustion.ERROR)


def test_error_reads_a_domain_to_its_end_and_never_again():
    first = draw(**DOMAINS, count=4, cursors=[0, 0], policy=Exhaustion.ERROR)
    second = draw(**DOMAINS, count=4, cursors=first.cursors, policy=Exhaustion.ERROR)
    assert sorted([*first.ids[0], *second.ids[0]]) == [0, 1, 2, 3]
    assert first.shortages == second.shortages == ()
    with pytest.raises(DataError):
        draw(**DOMAINS, count=4, cursors=second.cursors, policy=Exhaustion.ERROR)


@pytest.mark.parametrize("policy", Exhaustion)
def test_enough_of_everything_is_no_shortage_under_any_policy(policy):
    found = draw(**DOMAINS, count=8, cursors=[0, 7], policy=policy)
    assert [ids.size for ids in found.ids] == [4, 4]
    assert found.shortages == ()


@pytest.mark.parametrize("policy", Exhaustion)
def test_an_empty_domain_is_passed_over(policy):
    found = draw(proportions=[0.5, 0.5], count=6, starts=[0, 0], sizes=[0, 10], cursors=[0, 0], seed=1, policy=policy)
    assert [ids.size for ids in found.ids] == [0, 6]


# --------------------------------------------------------------------------------------------- shuffled, stretched


def test_shuffled_is_the_same_samples_in_an_order_that_the_key_decides():
    ids = np.arange(100, 200)
    one = shuffled(ids, 1, "a")
    assert sorted(one) == ids.tolist()
    assert one.tolist() == shuffled(ids, 1, "a").tolist()
    assert one.tolist() != shuffled(ids, 2, "a").tolist() != ids.tolist()
    assert ids.tolist() == list(range(100, 200))


@pytest.mark.parametrize(("count", "found"), [(1, [7]), (2, [7, 3]), (3, [7, 3, 5]), (8, [7, 3, 5, 7, 3, 5, 7, 3])])
def test_stretched_repeats_from_the_front(count, found):
    assert stretched(np.array([7, 3, 5]), count).tolist() == found


def test_stretched_never_invents_a_sample():
    with pytest.raises(DataflexError):
        stretched(np.empty(0, dtype=np.int64), 3)


def test_interleaved_parts_keep_their_own_order_and_are_mixed_evenly():
    found = interleaved([np.array([1, 2, 3, 4]), np.array([10, 11]), np.array([], dtype=np.int64)])
    assert found.tolist() == [1, 10, 2, 3, 11, 4]
