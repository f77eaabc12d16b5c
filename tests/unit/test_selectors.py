"""Selectors by losses, orders and neighbours: the worked numbers, and what each promises at its edges."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflex_core.domains import Domain
from dataflex_core.errors import StrategyFault, UsageError
from dataflex_core.requests import Progress, SelectionRequest, SetupContext
from dataflex_core.rng import derive
from dataflex_strategies.neighbours import nearest, unit
from dataflex_strategies.selectors.curriculum import CurriculumParams, CurriculumSelector, arranged
from dataflex_strategies.selectors.delta_loss import DeltaLossParams, DeltaLossSelector, drawing_weights, window
from dataflex_strategies.selectors.near import NearParams, NearSelector, walk
from dataflex_strategies.selectors.rho_loss import reducible
from dataflex_strategies.selectors.tsds import Densities, TsdsParams, TsdsSelector, probabilities

pytestmark = pytest.mark.numeric

POOL = 12
CONTEXT = SetupContext(domains=(Domain(name="a", start=0, size=POOL),), targets=("held",), total_steps=10, seed=0)


class Asked:
    """Signals of one rank: what it is told of samples, and what it was asked."""

    targets = ("held",)

    def __init__(self, losses=None, base=None, points=None, targets=None):
        self.now, self.base, self.points, self.held = losses, base, points, targets
        self.asked = []

    def __len__(self):
        return POOL if self.points is None else len(self.points)

    def shard(self, ids):
        return ids[::-1]

    def gather(self, ids, shard, values):
        return values[np.argsort(np.argsort(ids))][np.argsort(shard)] if len(ids) else values

    def losses(self, shard, *, model=None):
        self.asked.append((model, sorted(shard.tolist())))
        return (self.now if model is None else self.base)[shard].astype("f4")

    def lengths(self, ids):
        return 100 - ids

    def target_tokens(self, ids):
        return np.full(len(ids), 5) if self.now is None else np.where(np.isnan(self.now[ids]), 0, 5)

    def target(self, name):
        return Asked(points=self.held)

    def embeddings(self, shard, *, layer, pooling):
        return self.points[shard].astype("f4")


def request(signals, *, decision=1, decisions=5, count=3, candidates=None, seed=0):
    progress = Progress(
        step=decision, total_steps=9, decision=decision, decisions=decisions, epoch=0.0, learning_rate=1.0, seed=0
    )
    candidates = np.arange(POOL) if candidates is None else candidates
    return SelectionRequest(
        progress=progress,
        domains=CONTEXT.domains,
        candidates=candidates,
        count=count,
        rng=derive(seed, "test"),
        signals=signals,
    )


def ready(selector, context=CONTEXT):
    selector.setup(context)
    return selector


# ------------------------------------------------------------------------------------------------------- delta-loss


def test_the_windows_of_the_worked_numbers():
    assert [window(t, 5, 10, 0.2) for t in range(6)] == [(0, 2), (0, 2), (2, 4), (5, 7), (7, 9), (7, 9)]


@settings(deadline=None)
@given(t=st.integers(0, 40), decisions=st.integers(1, 40), pool=st.integers(0, 10**6), share=st.floats(0.01, 1))
def test_a_window_lies_in_the_pool_and_is_as_wide_as_its_share(t, decisions, pool, share):
    start, stop = window(min(t, decisions), decisions, pool, share)
    assert 0 <= start <= stop <= pool
    assert abs((stop - start) - share * pool) <= 1


def test_weights_are_of_the_window_until_the_loss_has_risen():
    delta = np.array([0.5, np.nan, 0.1, 2.0, -0.2, 0.5], dtype=np.float32)  # in order: 3, 0, 5, 2, 4, and 1 never
    assert drawing_weights(delta, 0, 2, 0.025).tolist() == [1, 0, 0.025, 1, 0.025, 0.025]
    assert drawing_weights(delta, 2, 5, 0.025).tolist() == [0.025, 0, 1, 0.025, 0.025, 1]
    assert drawing_weights(delta, 4, 6, 0.025).tolist() == [0.025, 0, 0.025, 0.025, 0.025, 0.025]
    assert drawing_weights(np.zeros(3), 1, 2, 0.5).tolist() == [0.5, 1, 0.5]


def test_delta_loss_draws_uniformly_then_from_the_window():
    first = np.linspace(1, 2, POOL)
    drawn = np.zeros(POOL)
    for seed in range(300):
        selector = ready(DeltaLossSelector(DeltaLossParams()))
        answer = selector.select(request(Asked(losses=first), seed=seed))
        assert answer.instead == "drawn at random: no loss has fallen yet"
        drawn[answer.ids] += 1
    assert drawn.min() > 300 * 3 / POOL * 0.7
    fallen = Asked(losses=first - np.arange(POOL) / 20)  # the last have fallen most: the window is there
    signals = replace(request(fallen, decision=2, count=2), candidates=np.arange(POOL))
    made = [selector.select(replace(signals, rng=derive(seed))) for seed in range(50)]
    assert sum(i >= POOL - 2 for one in made for i in one.ids) > 60
    assert 0.6 < np.mean([one.notes["inside"] for one in made]) <= 1
    assert {one.instead for one in made} == {""}
    assert selector.state_dict()["first"] == pytest.approx(first)


def test_delta_loss_compares_fresh_samples_with_the_starting_model_alone():
    signals = Asked(losses=np.ones(POOL), base=np.full(POOL, 3.0))
    selector = ready(DeltaLossSelector(DeltaLossParams()))
    selector.select(request(signals, candidates=np.arange(6)))
    assert [model for model, _ in signals.asked] == [None]
    scores = selector.scores(request(signals, decision=2, candidates=np.arange(4, 10)))
    assert scores.tolist() == [0, 0, 2, 2, 2, 2]
    assert signals.asked[-1] == ("base", [6, 7, 8, 9])
    selector.scores(request(signals, decision=3, candidates=np.arange(6)))
    assert signals.asked[-1][0] is None, "all are known"


def test_delta_loss_asks_the_starting_model_about_nothing_that_has_no_loss():
    losses = np.linspace(1, 2, POOL)
    losses[3] = np.nan
    signals, selector = Asked(losses=losses), ready(DeltaLossSelector(DeltaLossParams()))
    for decision in (1, 2):
        assert 3 not in selector.select(request(signals, decision=decision)).ids
    assert {model for model, _ in signals.asked} == {None}


def test_delta_loss_with_one_decision_draws_and_with_no_loss_chooses_nothing():
    selector = ready(DeltaLossSelector(DeltaLossParams()))
    assert len(selector.select(request(Asked(losses=np.ones(POOL)), decisions=1)).ids) == 3
    selector = ready(DeltaLossSelector(DeltaLossParams()))
    nothing = Asked(losses=np.full(POOL, np.nan), base=np.full(POOL, np.nan))
    assert len(selector.select(request(nothing)).ids) == 0
    assert len(selector.select(request(nothing, decision=2)).ids) == 0


def test_what_is_reducible():
    made = reducible(np.array([2, 1, np.nan], dtype="f4"), np.array([0.5, 3, 1], dtype="f4"))
    np.testing.assert_array_equal(made, np.array([1.5, -2, np.nan], dtype="f4"))


# ------------------------------------------------------------------------------------------------------- curriculum

WORKED = [
    ("fold", 12, {"cycles": 3}, [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11]),
    ("zigzag", 9, {"cycles": 3}, [0, 3, 6, 7, 4, 1, 2, 5, 8]),
    ("stair", 12, {"sections": 2, "rho": 0.225, "cycles": 3}, [0, 1, 2, 3, 6, 4, 7, 5, 8, 9, 10, 11]),
    ("saw", 12, {"sections": 2, "rho": 0.225, "cycles": 3}, [0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 10, 11]),
    ("stair", 10, {"sections": 4, "rho": 0.3, "cycles": 2}, None),
    ("sort", 4, {}, [0, 1, 2, 3]),
    ("fold", 2, {"cycles": 5}, [0, 1]),
    ("saw", 1, {"sections": 9}, [0]),
    ("zigzag", 0, {}, []),
]


@pytest.mark.parametrize(("pattern", "size", "asked", "wanted"), WORKED)
def test_the_patterns_of_the_worked_numbers(pattern, size, asked, wanted):
    made = arranged(np.arange(size), pattern, **asked)
    assert wanted is None or made.tolist() == wanted
    assert sorted(made.tolist()) == list(range(size))


@settings(deadline=None)
@given(
    size=st.integers(0, 60),
    pattern=st.sampled_from(["sort", "fold", "zigzag", "stair", "saw", "segment", "shuffle"]),
    cycles=st.integers(1, 9),
    sections=st.integers(1, 9),
    rho=st.floats(0, 0.49),
    ends=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    block=st.integers(0, 70),
)
def test_a_pattern_keeps_every_sample_once(size, pattern, cycles, sections, rho, ends, block):
    order = np.arange(size)[::-1] * 3
    shape = {"cycles": cycles, "sections": sections, "rho": rho, "low": ends[0], "high": ends[1]}
    made = arranged(order, pattern, **shape, window=block, rng=derive(1))
    assert sorted(made.tolist()) == sorted(order.tolist())
    if block > 1 and pattern not in ("segment", "shuffle"):
        plain = arranged(order, pattern, **shape)
        for start in range(0, size, block):
            assert sorted(made[start : start + block]) == sorted(plain[start : start + block])


def test_segment_keeps_its_ends_in_order():
    made = arranged(np.arange(100), "segment", low=0.1, high=0.3, rng=derive(0)).tolist()
    assert (made[:10], made[70:]) == (list(range(10)), list(range(70, 100)))
    assert made[10:70] != sorted(made[10:70])
    with pytest.raises(StrategyFault):
        arranged(np.arange(9), "shuffle")


def trained(selector, signals, counts, **asked):
    return [
        selector.select(request(signals, decision=number, count=count, **asked)).ids.tolist()
        for number, count in enumerate(counts, start=1)
    ]


def test_a_curriculum_trains_every_sample_once_before_any_again():
    losses = np.array([5, 3, np.nan, 1, 4, 2, 6, 9, 8, 7, 11, 10.0])
    wanted = [3, 5, 1, 4, 0, 6, 9, 8, 7, 11, 10]
    signals = Asked(losses=losses)
    selector = ready(CurriculumSelector(CurriculumParams()))
    assert trained(selector, signals, [4, 4, 5, 4]) == [wanted[:4], wanted[4:8], [*wanted[8:], 3, 5], wanted[2:6]]
    assert signals.asked == [(None, list(range(POOL)))], "scored once"
    other = ready(CurriculumSelector(CurriculumParams()))
    other.load_state_dict(selector.state_dict())
    assert trained(other, signals, [3]) == trained(selector, signals, [3]) == [wanted[6:9]]
    hardest = ready(CurriculumSelector(CurriculumParams(hardest_first=True)))
    made = hardest.select(request(signals, count=2))
    assert (made.ids.tolist(), made.scores.tolist(), made.notes) == ([10, 11], [11, 10], {"missing": 1.0})


def test_a_curriculum_goes_on_in_each_domain():
    selector = ready(CurriculumSelector(CurriculumParams(score="length")))  # the last is the shortest
    first, second = np.arange(7), np.arange(7, POOL)
    assert trained(selector, Asked(), [2, 2, 4], candidates=first) == [[6, 5], [4, 3], [2, 1, 0, 6]]
    assert trained(selector, Asked(), [2], candidates=second) == [[11, 10]]
    assert trained(selector, Asked(), [2], candidates=first) == [[5, 4]]


def test_a_refreshed_curriculum_orders_what_is_left_anew():
    signals = Asked(losses=np.arange(POOL, dtype="f4"))
    selector = ready(CurriculumSelector(CurriculumParams(refresh=True)))
    assert trained(selector, signals, [4]) == [[0, 1, 2, 3]]
    signals.now = -signals.now
    assert trained(selector, signals, [4]) == [[11, 10, 9, 8]]
    assert signals.asked[-1] == (None, list(range(4, POOL)))
    assert trained(selector, signals, [6]) == [[7, 6, 5, 4, 11, 10]]
    assert trained(selector, signals, [2]) == [[9, 8]]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, [3, 4, 5]),
        ({"window": 0}, [3, 4, 5]),
        ({"hardest_first": True}, [11, 10, 9]),
        ({"pattern": "fold", "cycles": 2}, [4, 6, 8]),
        ({"score": "length"}, [11, 10, 9]),
    ],
)
def test_a_curriculum_goes_on_in_its_order_until_it_is_asked_for_another(change, wanted):
    signals = Asked(losses=np.arange(POOL, dtype=float))
    first = ready(CurriculumSelector(CurriculumParams()))
    assert first.select(request(signals)).ids.tolist() == [0, 1, 2]
    then = ready(CurriculumSelector(CurriculumParams(**change)))
    then.load_state_dict(first.state_dict())
    assert then.select(request(signals)).ids.tolist() == wanted, "what was trained comes no second time"


def test_a_curriculum_by_a_column_asks_nothing_and_says_what_it_cannot_do():
    columns = {"quality": np.arange(POOL)[::-1], "kind": np.full(POOL, "a", dtype=object)}
    context = replace(CONTEXT, columns=columns)
    for params in (CurriculumParams(column="quality"), CurriculumParams(score="column", column="quality")):
        assert trained(ready(CurriculumSelector(params), context), None, [2]) == [[11, 10]]
    wrong = {
        "no column is named": {"score": "column"},
        "names a column too": {"score": "length", "column": "quality"},
        "holds no numbers": {"column": "kind"},
        "asks for the column other": {"column": "other"},
        "reach into each other": {"pattern": "saw", "sections": 4},
        "more than the pool": {"pattern": "segment", "low": 0.6, "high": 0.6},
    }
    for said, given_ in wrong.items():
        with pytest.raises(UsageError, match=said) as error:
            ready(CurriculumSelector(CurriculumParams(**given_)), context)
        assert error.value.hint


# -------------------------------------------------------------------------------------------------------- neighbours


FAISS = pytest.param("faiss", marks=pytest.mark.skipif(find_spec("faiss") is None, reason="faiss is an extra"))


@pytest.mark.parametrize("library", ["scikit-learn", FAISS])
@settings(max_examples=25, deadline=None)
@given(
    points=st.integers(1, 30), queries=st.integers(1, 30), dim=st.integers(1, 4), alike=st.booleans(), data=st.data()
)
def test_neighbours_are_the_nearest_and_ties_by_row(library, points, queries, dim, alike, data):
    rng = derive(points, queries, dim)
    x, q = rng.integers(-2, 3, size=(points, dim)).astype("f4"), rng.integers(-2, 3, size=(queries, dim)).astype("f4")
    if alike:
        x[:] = x[0]
    k = data.draw(st.integers(1, points))
    distances, rows = nearest(x, q, k, library=library)
    every = np.linalg.norm(q[:, None] - x[None], axis=2)
    np.testing.assert_allclose(distances, np.sort(every, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(every, rows, axis=1), distances, atol=1e-5)
    assert all(len(set(row)) == k for row in rows.tolist())
    if k == points:
        assert all(
            np.lexsort((row, near)).tolist() == list(range(k)) for row, near in zip(rows, distances, strict=True)
        )


def test_neighbours_never_hold_all_pairs():
    x = derive(0).standard_normal((20_000, 4)).astype("f4")
    q = derive(1).standard_normal((2_000, 4)).astype("f4")
    tracemalloc.start()
    nearest(x, q, 5)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.1 * len(x) * len(q) * 8


def test_faiss_is_an_extra(monkeypatch):
    monkeypatch.setattr("dataflex_strategies.neighbours.find_spec", lambda name: None)
    for selector in (NearSelector(NearParams(library="faiss")), TsdsSelector(TsdsParams(library="faiss"))):
        with pytest.raises(UsageError, match="faiss is not installed"):
            selector.setup(CONTEXT)


@pytest.mark.parametrize("library", [FAISS])
def test_another_library_finds_the_same_neighbours_and_probabilities(library):
    x, q = (unit(derive(n).standard_normal((size, 16)).astype("f4")) for n, size in enumerate((3000, 60)))
    x[1000:2000] = x[:1000]  # near duplicates
    x[1000:2000] += 1e-3 * derive(2).standard_normal((1000, 16)).astype("f4")
    ours, theirs = nearest(x, q, 200), nearest(x, q, 200, library=library)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-5)
    swapped = ours[1] != theirs[1]
    assert swapped.mean() < 1e-3
    assert all(set(a) == set(b) for a, b in zip(ours[1].tolist(), theirs[1].tolist(), strict=True))
    how = {"alpha": 0.6, "c": 5.0, "sigma": 0.75, "max_k": 500, "kde_k": 100}
    np.testing.assert_allclose(
        probabilities(x, q, **how), probabilities(x, q, **how, library=library), rtol=1e-3, atol=1e-7
    )


# -------------------------------------------------------------------------------------------------------------- near


def test_the_walk_of_the_worked_numbers():
    table = np.array([[3, 1, 0], [1, 2, 3]])
    assert walk(table, 4).tolist() == [3, 1, 2, 0]
    assert walk(table, 2).tolist() == [3, 1]
    assert walk(table, 9).tolist() == [3, 1, 2, 0]


def circle(*degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)


def test_near_walks_on_until_all_are_used():
    points = circle(*range(0, 120, 10))
    signals = Asked(points=points, targets=circle(0, 110))
    selector = ready(NearSelector(NearParams()))
    order = [0, 11, 1, 10, 2, 9, 3, 8, 4, 7, 5, 6]
    made = trained(selector, signals, [4, 4, 6, 2])
    assert made == [order[:4], order[4:8], [*order[8:], *order[:2]], order[2:4]], "and a new round"
    cosines = selector.select(request(signals, count=1)).scores
    assert 0 < cosines[0] <= 1
    one = Asked(points=points, targets=circle(0))
    assert trained(ready(NearSelector(NearParams())), one, [POOL]) == [list(range(POOL))]
    far = points * np.arange(1, POOL + 1)[:, None]
    by_length = Asked(points=far, targets=np.array([[12.0, 0]]))
    by_angle, by_distance = NearSelector(NearParams()), NearSelector(NearParams(metric="euclidean"))
    assert trained(ready(by_angle), by_length, [2]) == [[0, 1]]
    assert trained(ready(by_distance), by_length, [2]) != [[0, 1]]


@pytest.mark.parametrize("selector", [NearSelector(NearParams()), TsdsSelector(TsdsParams(alpha=0.01))])
def test_what_has_no_target_token_is_no_neighbour(selector):
    points = circle(*range(0, 120, 10))
    losses = np.where(np.arange(POOL) % 2, 1.0, np.nan)
    signals = Asked(losses=losses, points=points, targets=circle(0))
    chosen = ready(selector).select(request(signals, count=POOL)).ids
    assert {1, 3, 5} < set(chosen.tolist()) <= set(range(1, POOL, 2))
    nothing = Asked(losses=np.full(POOL, np.nan), points=points, targets=circle(0))
    assert len(selector.select(request(nothing)).ids) == 0


@pytest.mark.parametrize("kind", ["near", "tsds"])
def test_a_file_too_chooses_nothing_without_a_target_token(kind, tmp_path):
    path, losses = tmp_path / "given.npy", np.ones(POOL)
    losses[[2, 7]] = np.nan
    np.save(path, np.arange(POOL)[None] if kind == "near" else np.full(POOL, 1 / POOL))
    made = NearParams(from_file=str(path)) if kind == "near" else TsdsParams(from_file=str(path))
    selector = ready(NearSelector(made) if kind == "near" else TsdsSelector(made))
    chosen = selector.select(request(Asked(losses=losses), count=POOL)).ids.tolist()
    assert sorted(chosen) == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11]
    none = selector.select(request(Asked(losses=np.full(POOL, np.nan))))
    assert len(none.ids) == 0


def test_near_goes_by_a_file_that_fits_the_pool(tmp_path):
    path = tmp_path / "near.npy"
    np.save(path, np.array([[7, 3, 1], [3, 9, 7]]))
    selector = ready(NearSelector(NearParams(from_file=str(path))))
    assert trained(selector, Asked(), [2, 2, 3]) == [[7, 3], [9, 1], [7, 3, 9]]
    for wrong, said in (
        (np.array([[12]]), "ids 12 to 12, and the pool 12 samples"),
        (np.array([[-1]]), "ids -1 to -1"),
        (np.array([1, 2]), "of shape"),
        (np.array([[0.5]]), "float64"),
        (np.array([[None]], dtype=object), "is no .npy file"),
    ):
        np.save(path, wrong)
        with pytest.raises(UsageError, match=said) as error:
            ready(NearSelector(NearParams(from_file=str(path))))
        assert error.value.hint
    with pytest.raises(UsageError, match="does not exist"):
        ready(NearSelector(NearParams(from_file="nowhere.npy")))


# -------------------------------------------------------------------------------------------------------------- tsds

CANDIDATES = np.array([[0, 0], [0.1, 0], [1, 0], [1, 0.2], [3, 3], [2, 0]])
TARGETS = np.array([[0, 0.1], [1.2, 0]])
ASKED = {"alpha": 0.9, "c": 5.0, "sigma": 0.75, "max_k": 5, "kde_k": 6}


def test_the_probabilities_of_the_worked_numbers():
    p = probabilities(CANDIDATES, TARGETS, **ASKED)
    np.testing.assert_allclose(p, [0.243274, 0.243274, 0.263453, 0.25, 0, 0], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    candidates=st.integers(1, 25),
    targets=st.integers(1, 6),
    alpha=st.sampled_from([0.01, 0.6, 1.0]),
    sigma=st.sampled_from([0.0, 0.3, 5.0]),
    max_k=st.integers(1, 30),
    alike=st.booleans(),
)
def test_probabilities_are_some_of_the_neighbours_of_each_target(candidates, targets, alpha, sigma, max_k, alike):
    rng = derive(candidates, targets)
    x, q = unit(rng.standard_normal((candidates, 3))), unit(rng.standard_normal((targets, 3)))
    if alike:
        x[:] = x[0]
    p = probabilities(x, q, alpha=alpha, c=5.0, sigma=sigma, max_k=max_k, kde_k=10)
    assert p.sum() == pytest.approx(1.0)
    assert (p >= 0).all()
    if alpha == 1.0 and not alike:  # all stay with their nearest
        _, rows = nearest(x, q, 1)
        np.testing.assert_allclose(p, np.bincount(rows[:, 0], minlength=candidates) / targets, atol=1e-9)


def test_near_duplicates_share_what_one_would_be_given():
    q = circle(0.0)
    alone = probabilities(circle(5, 40, 80), q, **{**ASKED, "alpha": 0.5})
    copied = probabilities(circle(5, 5, 5, 40, 80), q, **{**ASKED, "alpha": 0.5})
    assert copied[:3].sum() < 1.5 * alone[0] < 3 * alone[0]
    many = {**ASKED, "max_k": 29}
    spread = [np.count_nonzero(probabilities(circle(*range(0, 90, 3)), q, **{**many, "alpha": a})) for a in (0.9, 0.3)]
    assert spread[0] < spread[1]
    assert Densities(circle(0, 0, 90), 0.5, 3).of(np.array([[0, 2]]))[0] == pytest.approx([2, 1])


@pytest.mark.parametrize("sigma", [5e-324, 1e-170, 1e-8, 1e100, 1e308])
def test_densities_are_finite_at_the_ends_of_the_range_of_sigma(sigma):
    points = np.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
    density = Densities(points, sigma, 4).of(np.arange(4)[None])[0]
    np.testing.assert_allclose(density, [2, 2, 1, 1] if sigma < 1 else [4, 4, 4, 4])


def test_tsds_draws_by_its_probabilities_and_not_beyond():
    signals = Asked(points=circle(*range(0, 120, 10)), targets=circle(0))
    near = TsdsParams(alpha=1.0)
    made = ready(TsdsSelector(near)).select(request(signals))
    assert (made.ids.tolist(), made.notes) == ([0], {"support": pytest.approx(1 / POOL)})
    wide = ready(TsdsSelector(TsdsParams(alpha=0.01)))
    assert len(wide.select(request(signals)).ids) == 3
    assert len({tuple(wide.select(request(signals, seed=seed)).ids) for seed in range(20)}) > 3


def test_tsds_goes_by_a_file_that_fits_the_pool(tmp_path):
    path = tmp_path / "p.npy"
    np.save(path, np.where(np.arange(POOL) < 2, 0.5, 0))
    selector = ready(TsdsSelector(TsdsParams(from_file=str(path))))
    assert sorted(selector.select(request(Asked())).ids.tolist()) == [0, 1]
    for wrong, said in (
        (np.ones(POOL + 1), "and the pool 12 samples"),
        (np.full(POOL, np.nan), "no probabilities"),
        (np.zeros(POOL), "no probabilities"),
        (-np.ones(POOL), "no probabilities"),
    ):
        np.save(path, wrong)
        with pytest.raises(UsageError, match=said) as error:
            ready(TsdsSelector(TsdsParams(from_file=str(path))))
        assert error.value.hint
