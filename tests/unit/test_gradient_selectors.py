"""icons, greats, cluster-less and nice: the worked numbers, and what each promises at its edges."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dataflex_core import CostRequest
from dataflex_core.config import params
from dataflex_core.domains import Domain
from dataflex_core.errors import InvalidParameters, UsageError
from dataflex_core.requests import Progress, SelectionRequest
from dataflex_core.rng import derive
from dataflex_core.signals import Generations, direction_of
from dataflex_strategies.rewards import exact_match, reward_of, rouge_l
from dataflex_strategies.selectors.cluster_less import ClusterLessParams, ClusterLessSelector, cluster_scores, clustered
from dataflex_strategies.selectors.cluster_less import cost as cluster_cost
from dataflex_strategies.selectors.greats import GreatsParams, GreatsSelector, greedy
from dataflex_strategies.selectors.icons import IconsParams, IconsSelector, votes
from dataflex_strategies.selectors.nice import NiceParams, NiceSelector, centred, directions

pytestmark = pytest.mark.numeric

NAN = float("nan")


def asked(count, candidates, *, signals=None, rate=1e-3, seed=0, step=10):
    """A request of one domain."""
    moment = Progress(step=step, total_steps=50, decision=1, decisions=4, epoch=0.5, learning_rate=rate, seed=0)
    pool = (Domain(name="a", start=0, size=1000),)
    return SelectionRequest(
        progress=moment,
        domains=pool,
        candidates=np.asarray(candidates),
        count=count,
        rng=derive(seed, "test"),
        signals=signals,
    )


class Facts:
    """Signals of samples with these gradients, on one rank: of a pool, of subtasks, of completions."""

    def __init__(self, gradients, targets=(), *, points=None, made=()):
        self.rows = np.asarray(gradients, dtype=np.float64)
        self.subtasks = {f"t{k}": Facts(rows, made=made[k : k + 1]) for k, rows in enumerate(targets)}
        self.points, self.made, self.asked = points, made, []

    @property
    def targets(self):
        return tuple(self.subtasks)

    def __len__(self):
        return len(self.rows)

    def target(self, name):
        return self.subtasks[name]

    def over(self, rows, name):
        return Facts(np.array([self.of_row(row) for row in rows]))

    @staticmethod
    def of_row(row):
        """The gradient of the mean loss of a completion: told by its first token."""
        wanted = [label for label in row["labels"] if label >= 0]
        return np.eye(8)[wanted[0]]

    def shard(self, ids):
        return ids[::-1]

    def gather(self, ids, shard, values):
        row_of = dict(zip(shard.tolist(), range(len(shard)), strict=True))
        order = [row_of[i] for i in ids.tolist()]
        return [values[i] for i in order] if isinstance(values, list) else values[order]

    def target_tokens(self, ids):
        return np.isfinite(self.rows[ids]).all(axis=1) * 3

    def products(self, a, b, *, adam=True):
        self.asked.append("products")
        return (self.rows[a] @ self.rows[b].T).astype(np.float32)

    def gradients(self, shard, *, dim=8192, adam=True, unit=True, keep_targets=True):
        self.asked.append("gradients")
        rows = self.rows[shard]
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True) if unit else rows
        return np.pad(rows, ((0, 0), (0, 8))).astype(np.float32)

    def alignments(self, shard, *, adam=True):
        means = [np.nanmean(held.rows, axis=0) for held in self.subtasks.values()]
        return (self.rows[shard] @ np.array(means).T).astype(np.float32)

    def embeddings(self, shard, *, layer, pooling, model):
        return self.points[shard]

    def direction(self, ids, weights):
        return direction_of(self, len(self), ids, weights)

    def influences(self, shard, *, directions, adam=True):
        sums = [d.weights @ d.samples.rows[d.ids] for d in directions]
        q = np.array([(s / np.linalg.norm(s, axis=1, keepdims=True)).mean(axis=0) for s in sums])
        rows = self.rows[shard]
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True) @ q.T).astype(np.float32)

    def generations(self, shard, *, count, max_new_tokens, temperature):
        (texts,) = self.made
        self.asked.append("generations")
        return Generations(
            prompts=[[9]] * len(shard),
            completions=[[[int(text[0]), *[3] * (len(text) - 1)] for text in texts[i]] for i in shard],
            texts=[texts[i] for i in shard],
            references=["0"] * len(shard),
            prompt_texts=["prompt"] * len(shard),
        )


# ------------------------------------------------------------------------------------------------------------ icons

INFLUENCES = np.array([[0.9, 0.1, 0.2], [0.8, 0.9, 0.1], [0.1, 0.8, 0.3], [0.2, 0.2, 0.9], [0.3, 0.3, 0.8], [0, 0, 0]])


def test_the_votes_of_the_worked_numbers():
    assert votes(INFLUENCES, 1 / 3).tolist() == [1, 2, 1, 1, 1, 0]
    chosen = IconsSelector(IconsParams()).choose(asked(2, range(10, 16)), INFLUENCES.astype(np.float32))
    assert chosen.ids.tolist() == [11, 14]
    assert chosen.notes == {"votes": 1.5}


@given(
    arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.floats(-1, 1, width=32)),
    st.floats(0, 1),
)
def test_each_subtask_votes_for_its_highest_and_for_no_fewer_than_its_share(influences, share):
    found = votes(influences, share)
    assert found.min() >= 0
    assert found.max() <= influences.shape[1]
    assert found.sum() >= np.floor(share * len(influences)) * influences.shape[1]
    one = votes(influences[:, :1], share).astype(bool)
    assert not one.any() or not (~one).any() or influences[one, 0].min() > influences[~one, 0].max()


@pytest.mark.parametrize(
    ("scores", "count", "wanted"),
    [
        ([[1, 0], [NAN, 9], [0, 2], [NAN, NAN]], 2, [12, 10]),
        ([[1, 0], [NAN, 9], [0, 2], [NAN, NAN]], 4, [12, 10]),
        ([[0.3]] * 4, 2, [10, 11]),
        ([[0.1], [0.4], [0.3], [0.2]], 3, [11, 12, 13]),
        ([[NAN], [NAN], [NAN], [NAN]], 3, []),
    ],
)
def test_icons_at_its_edges(scores, count, wanted):
    made = IconsSelector(IconsParams()).choose(asked(count, range(10, 14)), np.array(scores, dtype=np.float32))
    assert made.ids.tolist() == wanted


# ----------------------------------------------------------------------------------------------------------- greats

SCORES = np.array([0.1, 0.09, 0.05, 0.02])
PRODUCTS = np.array([[0.08, 0.075, 0, 0], [0.075, 0.09, 0, 0], [0, 0, 0.02, 0], [0, 0, 0, 0.01]])


def test_the_greedy_choice_of_the_worked_numbers():
    assert greedy(SCORES, PRODUCTS, 2).tolist() == [0, 2]
    assert greedy(SCORES, 0 * PRODUCTS, 3).tolist() == [0, 1, 2], "without interaction: the top"
    assert greedy(SCORES, PRODUCTS, 9).tolist() == [0, 2, 3, 1]
    assert greedy(np.array([NAN, 1, NAN, 2]), np.full((4, 4), NAN), 3).tolist() == [3, 1]
    assert greedy(np.ones(3), np.zeros((3, 3)), 2).tolist() == [0, 1]


def test_a_temperature_draws_by_the_gain():
    drawn = np.zeros(4)
    for seed in range(3000):
        drawn[greedy(SCORES, PRODUCTS, 1, temperature=0.05, rng=derive(seed))] += 1
    weights = np.exp(SCORES / 0.05)
    np.testing.assert_allclose(drawn / 3000, weights / weights.sum(), atol=0.03)
    assert greedy(SCORES, PRODUCTS, 2, temperature=1e-9, rng=derive(0)).tolist() == [0, 2]


GRADIENTS = np.array([[2.0, 0.1, 0], [2.0, 0, 0], [0, 1.0, 0], [0.1, 0.1, 5.0], [NAN] * 3, [-1, 0, 0]])
TARGETS = ([[3.0, 0, 0], [1.0, 4.0, 0]], [[1.0, 1.0, 0]] * 4)


@pytest.mark.parametrize("gone_by", [{}, {"exact_up_to": 3}], ids=["exact", "projected"])
@pytest.mark.parametrize(("rate", "wanted"), [(1e-6, [10, 11]), (0.0, [10, 11]), (0.2, [10, 11]), (0.5, [10, 12])])
def test_greats_weighs_what_samples_do_over_again_by_the_learning_rate(gone_by, rate, wanted):
    rows = np.concatenate([np.full((10, 3), NAN), GRADIENTS])
    facts = Facts(rows, TARGETS)
    made = GreatsSelector(GreatsParams(**gone_by)).select(asked(2, range(10, 16), signals=facts, rate=rate))
    assert made.ids.tolist() == wanted
    assert facts.asked == ["gradients" if gone_by else "products"]
    assert made.notes["projected"] == float(bool(gone_by))
    q = np.concatenate(TARGETS).mean(axis=0)
    if rate:
        assert made.scores[0] == pytest.approx(rate * (rows[10] @ q))
        second = rate * rows[wanted[1]] @ q - rate**2 * rows[10] @ rows[wanted[1]]
        assert made.scores[1] == pytest.approx(second, rel=1e-5)
    assert made.notes["gain"] == pytest.approx(made.scores.sum() if rate else 0.0)
    everything = GreatsSelector(GreatsParams(**gone_by)).select(asked(6, range(10, 16), signals=facts, rate=rate))
    assert sorted(everything.ids.tolist()) == [10, 11, 12, 13, 15]


# ----------------------------------------------------------------------------------------------------- cluster-less


def test_a_cluster_is_worth_the_cosine_of_its_mean_direction_averaged_over_subtasks():
    rows = [[3, 4, 0], [0, 2, 0], [NAN, 0, 0], [0, 0, 7], [0, 0, 0]]
    ids = np.array([2, 2, 2, 0, 3])
    toward = np.array([[1.0, 0, 0], [0, 5.0, 0]])
    found = cluster_scores(np.array(rows, dtype=np.float64), ids, toward)
    mean = np.array([0.6, 1.8, 0]) / np.linalg.norm([0.6, 1.8, 0])
    np.testing.assert_allclose(found, [0, NAN, (mean[0] + mean[1]) / 2, NAN], atol=1e-12)
    np.testing.assert_allclose(found, cluster_scores(np.array(rows) * [[2], [9], [1], [3], [1]], ids, 4 * toward))
    assert cluster_scores(np.empty((0, 3)), ids[:0], toward).shape == (0,)


def test_clusters_are_numbered_by_their_first_points_and_come_out_the_same_again():
    rng = np.random.default_rng(0)
    centres = 20 * np.eye(4, 6)
    member = rng.permutation(np.repeat(np.arange(4), 15))
    points = (centres[member] + rng.normal(size=(60, 6))).astype(np.float32)
    labels, distances = clustered(points, 4, derive(1))
    again, same = clustered(points, 4, derive(1))
    assert (labels.tolist(), distances.tolist()) == (again.tolist(), same.tolist())
    firsts = [labels.tolist().index(k) for k in range(labels.max() + 1)]
    assert all(a < b for a, b in pairwise(firsts))
    for k in range(labels.max() + 1):
        of_k = labels == k
        np.testing.assert_allclose(
            distances[of_k], np.linalg.norm(points[of_k] - points[of_k].mean(axis=0), axis=1), rtol=1e-4
        )
    assert clustered(np.zeros((5, 2), np.float32), 3, derive(0))[0].tolist() == [0] * 5


def clusters_of(params, count, gradients, points, targets=TARGETS):
    facts = Facts(gradients, targets, points=np.asarray(points, dtype=np.float32))
    return ClusterLessSelector(ClusterLessParams(**params)).select(asked(count, range(len(gradients)), signals=facts))


def test_whole_clusters_are_taken_nearest_to_the_centre_first():
    # Three clusters of four on a line; the second one's gradients help, the first one's harm.
    points = [[p] for p in (0, 1, 2, 3, 100, 101, 103, 104, 200, 201, 202, 203)]
    gradients = [[-1.0, -1, 0]] * 4 + [[1.0, 1, 0]] * 4 + [[0, 0.1, 1.0]] * 4
    made = clusters_of({"cluster_size": 4, "samples_per_cluster": 2}, 6, gradients, points)
    assert made.ids.tolist() == [5, 6, 4, 7, 9, 10]
    assert made.notes == {"clusters": 3.0, "taken": 2.0}
    assert made.scores[0] == made.scores[3] > made.scores[4]
    gradients[5] = [NAN] * 3  # has no target token: the others are taken
    assert clusters_of({"cluster_size": 4}, 3, gradients, points).ids.tolist() == [6, 7, 4]


@pytest.mark.parametrize(
    ("gradients", "count", "wanted"),
    [([[1.0, 0, 0]], 1, [0]), ([[NAN] * 3] * 3, 2, []), ([[1.0, 0, 0]] * 5, 3, [0, 1, 2])],
    ids=["one", "none usable", "alike"],
)
def test_cluster_less_at_its_edges(gradients, count, wanted):
    points = np.zeros((len(gradients), 2))
    for size in (1, 2, 64):
        assert clusters_of({"cluster_size": size}, count, gradients, points).ids.tolist() == wanted


def test_cluster_less_costs_a_forward_and_a_part_of_a_gradient():
    assert cluster_cost(ClusterLessParams(), CostRequest()).candidate == pytest.approx(1 / 3 + 1 / 16)
    assert cluster_cost(ClusterLessParams(cluster_size=2), CostRequest()).candidate == pytest.approx(4 / 3)


# ------------------------------------------------------------------------------------------------------------- nice


def test_a_direction_is_the_sum_of_gradients_by_centred_reward():
    rewards = np.array([[1.0, 0, 0, 0], [0.3, 0.3, 0.3, 0.3], [1, 1, 0, 0]])
    gradients = np.stack([np.eye(4)] * 3)
    expected = [[0.75, -0.25, -0.25, -0.25], [0, 0, 0, 0], [0.5, 0.5, -0.5, -0.5]]
    np.testing.assert_allclose(directions(rewards, gradients), expected)
    np.testing.assert_allclose(directions(rewards + 7, gradients), expected, atol=1e-12)
    assert not centred(np.full((2, 10), 0.1)).any()


def nice(made, gradients, count, **settings):
    """A choice of ``nice`` for a subtask whose samples have these completions; the selector, and its signals."""
    facts = Facts(gradients, [np.zeros((len(made), 8))], made=[made])
    selector = NiceSelector(NiceParams(mc_samples=len(made[0]), **settings))
    return selector.select(asked(count, range(len(gradients)), signals=facts)), selector, facts


# The text of a completion begins with the axis of its gradient; "0" is right.
MADE = [["0", "1"], ["2", "3"], ["0", "22"]]


def test_nice_chooses_what_makes_right_answers_likelier():
    gradients = np.eye(8)
    made, _, facts = nice(MADE, gradients, 8)
    # d of the first: (e0 - e1) / 2; of the second nothing; of the third, whose other completion has two tokens:
    # e0 / 2 - 2 e2 / 2.
    q = np.zeros(8)
    q[[0, 1]] += np.array([1, -1]) / np.sqrt(2) / 2
    q[[0, 2]] += np.array([1, -2]) / np.sqrt(5) / 2
    np.testing.assert_array_equal(made.ids[[0, 6, 7]], np.argsort(-q, kind="stable")[[0, 6, 7]])
    scores = NiceSelector(NiceParams(mc_samples=2)).score(asked(8, range(8), signals=facts), np.arange(8))
    np.testing.assert_allclose(scores, q, atol=1e-6)
    assert made.notes == {"reward": pytest.approx(2 / 6), "undirected": 1.0}
    assert made.instead == ""


def test_completions_are_drawn_once_a_decision():
    _, selector, facts = nice(MADE, np.eye(8), 3)
    held = facts.target("t0")
    assert held.asked == ["generations"]
    selector.score(asked(3, range(3), signals=facts), np.arange(2))
    assert held.asked == ["generations"]
    selector.score(asked(3, range(3), signals=facts, step=20), np.arange(2))
    assert held.asked == ["generations"] * 2


def test_where_no_target_has_a_direction_the_draw_is_uniform_and_told():
    gradients = np.eye(8)
    gradients[5] = NAN
    counts = np.zeros(8)
    for seed in range(600):
        facts = Facts(gradients, [np.zeros((2, 8))], made=[[["1", "2"], ["0", "0"]]])
        made = NiceSelector(NiceParams(mc_samples=2)).select(asked(2, range(8), signals=facts, seed=seed))
        counts[made.ids] += 1
    assert made.notes == {"reward": 0.5, "undirected": 2.0}
    assert "no reward tells completions of a target apart" in made.instead
    assert counts[5] == 0
    np.testing.assert_allclose(np.delete(counts, 5) / 600, 2 / 7, atol=0.06)


def test_equal_scores_are_drawn_from_and_told_unless_all_are_taken():
    selector = NiceSelector(NiceParams())
    made = selector.choose(asked(2, range(4)), np.full(4, 0.5, np.float32))
    assert made.instead == "drawn at random: all scores are alike"
    taken = selector.choose(asked(4, range(4)), np.array([0.5, NAN, 0.5, NAN], np.float32))
    assert (taken.ids.tolist(), taken.instead) == ([0, 2], "")
    assert len(selector.choose(asked(2, range(2)), np.full(2, NAN, np.float32)).ids) == 0


# ---------------------------------------------------------------------------------------------------------- rewards


@pytest.mark.parametrize(
    ("completion", "reference", "exact", "rouge"),
    [
        ("The cat sat.", "the cat sat", 0, 1),
        (" the  cat\nsat ", "the cat sat", 1, 1),
        ("police kill the gunman", "police killed the gunman", 0, 3 / 4),
        ("the gunman kill police", "police killed the gunman", 0, 2 / 4),
        ("今天天气好", "今天下雨", 0, 2 * 2 / 9),
        ("", "the cat", 0, 0),
        ("...", "...", 1, 0),
    ],
)
def test_rewards_of_answers(completion, reference, exact, rouge):
    assert exact_match("", completion, reference) == exact
    assert rouge_l("", completion, reference) == pytest.approx(rouge)


def test_a_reward_of_ones_own_is_found_in_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my_rewards.py").write_text(
        "def shorter(prompt, completion, reference): return -len(completion)\n"
        "def bare(completion): return 1.0\n"
        "def odd(prompt, completion, reference): return 'good'\n"
        "number = 3\n"
    )
    (tmp_path / "broken_rewards.py").write_text("import no_such_module\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert reward_of("my_rewards:shorter")("", "abc", "") == -3
    assert NiceParams(reward="my_rewards:shorter").reward == "my_rewards:shorter"
    for name, said in {
        "rouge": "none of exact-match, rouge-l, and no module:function",
        "my_rewards:longer": "cannot be imported: AttributeError",
        "broken_rewards:shorter": "cannot be imported: ModuleNotFoundError: No module named 'no_such_module'",
        "my_rewards:bare": "no function of (prompt, completion, reference)",
        "my_rewards:number": "no function of (prompt, completion, reference)",
    }.items():
        with pytest.raises(InvalidParameters) as caught:
            params.validate(NiceParams, {"reward": name}, owner="selector nice")
        assert f"reward={name!r}: " in str(caught.value)
        assert said in str(caught.value)
    assert sys.path == before
    with pytest.raises(UsageError, match="my_rewards:odd rewards completions of sample 2 of t0 with"):
        nice(MADE, np.eye(8), 2, reward="my_rewards:odd")
