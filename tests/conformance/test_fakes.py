"""What stands in for a run: the ranks, which never hang, and the facts, which do not depend on how many there are."""

from __future__ import annotations

import inspect
import threading

import numpy as np
import pytest

from dataflex_core import Signals, StrategyFault
from dataflex_core.errors import DataError, UnmetNeed
from dataflex_core.testing.errors import OutOfStep
from dataflex_core.testing.fake_signals import FakeSignals
from dataflex_core.testing.pools import ALL_WITHOUT_LOSS, EVERYDAY, SOME_WITHOUT_LOSS
from dataflex_core.testing.ranks import Meeting, on_ranks

METHODS = [name for name, member in vars(Signals).items() if inspect.isfunction(member) and name[:2] != "__"]
EVERY = np.arange(len(EVERYDAY))


def signals(pool=EVERYDAY, *, step=3, rank=0, meeting=None):
    return FakeSignals(
        samples=pool.samples,
        subtasks=pool.targets,
        held=pool.held,
        step=step,
        seed=7,
        rank=rank,
        meeting=meeting or Meeting(1),
    )


def everywhere(world, ask):
    """``ask(signals)`` on every rank; the answers, in order of rank."""
    return on_ranks(world, lambda rank, meeting: ask(signals(rank=rank, meeting=meeting)), patience=20)


def gathered(facts, ask):
    """The rows of ``ask`` for all samples, from every rank's shard."""
    shard = facts.shard(EVERY)
    return facts.gather(EVERY, shard, ask(facts, shard))


def directions(facts):
    """One of the pool's samples and one of a subtask's."""
    held = facts.target("held")
    return [facts.direction(EVERY[:3], np.array([1.0, -2.0, 0.5])), held.direction(np.arange(2), np.eye(2))]


ROWS = {
    "losses": lambda facts, shard: facts.losses(shard),
    "base losses": lambda facts, shard: facts.losses(shard, model="base"),
    "token losses": lambda facts, shard: np.array([losses.sum() for losses in facts.token_losses(shard)]),
    "influence": lambda facts, shard: facts.influence(shard),
    "influences": lambda facts, shard: facts.influences(shard, adam=False),
    "own directions": lambda facts, shard: facts.influences(shard, directions=directions(facts)),
    "alignments": lambda facts, shard: facts.alignments(shard),
    "own alignments": lambda facts, shard: facts.alignments(shard, directions=directions(facts), adam=False),
    "products": lambda facts, shard: facts.products(EVERY, EVERY[::-2])[shard],
    "gradients": lambda facts, shard: facts.gradients(shard, dim=64),
    "embeddings": lambda facts, shard: facts.embeddings(shard, layer=1, pooling="last"),
    "expert loads": lambda facts, shard: facts.expert_loads(shard),
    "lengths": lambda facts, shard: facts.lengths(shard),
    "target tokens": lambda facts, shard: facts.target_tokens(shard),
    "texts": lambda facts, shard: np.array([len(text) for text in facts.texts(shard)]),
    "generations": lambda facts, shard: np.array([len(runs[0]) for runs in facts.generations(shard).completions]),
}


@pytest.mark.parametrize("method", METHODS)
def test_the_fake_has_the_signature_of_the_protocol(method):
    told = inspect.signature(getattr(Signals, method)).parameters.values()
    fake = inspect.signature(getattr(FakeSignals, method)).parameters.values()
    assert [(p.name, p.kind, p.default) for p in fake] == [(p.name, p.kind, p.default) for p in told]


def test_samples_of_the_pool_and_of_targets_have_rows_and_columns_and_ones_own_have_none():
    facts = signals()
    assert [str(row) for (row,) in facts.row(np.array([0, 25]))] == ["row 1 of words.jsonl", "row 2 of code.jsonl"]
    assert {row.dataset for (row,) in facts.target("held").row(np.arange(5))} == {"held"}
    assert facts.over([{"input_ids": [1, 2], "labels": [1, 2]}], "own").row(np.array([0])) == [()]
    quality = EVERYDAY.columns["quality"]
    assert (quality.dtype, len(quality)) == (np.float64, len(EVERYDAY))
    np.testing.assert_array_equal(EVERYDAY.columns["quality"], quality)


def test_what_is_held_out_of_a_domain_is_like_it_and_not_in_it():
    facts = signals()
    held = {domain.name: facts.holdout(domain.name) for domain in EVERYDAY.domains}
    assert {sample.key for each in held.values() for sample in each.samples}.isdisjoint(s.key for s in facts.samples)
    for domain in EVERYDAY.domains:
        assert held[domain.name].samples[0].tokens[0] == facts.samples[domain.start].tokens[0]
        assert np.isfinite(held[domain.name].losses(np.arange(len(held[domain.name])))).all()
    with pytest.raises(UnmetNeed, match="nothing is kept out of nosuch"):
        facts.holdout("nosuch")


@pytest.mark.parametrize("ask", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("world", [2, 4])
def test_facts_do_not_depend_on_the_number_of_ranks(world, ask):
    alone = gathered(signals(), ask)
    assert len(np.unique(alone.reshape(len(EVERY), -1), axis=0)) > 1, "facts that are all the same prove nothing"
    for rows in everywhere(world, lambda facts: gathered(facts, ask)):
        np.testing.assert_array_equal(rows, alone)


@pytest.mark.parametrize("world", [1, 4])
def test_rows_of_different_lengths_are_gathered_in_order_of_the_ids(world):
    told = signals().token_losses(EVERY)
    assert len({len(losses) for losses in told}) > 1
    for rows in everywhere(world, lambda facts: gathered(facts, lambda facts, shard: facts.token_losses(shard))):
        assert all(np.array_equal(row, losses) for row, losses in zip(rows, told, strict=True))


def test_a_list_of_rows_beside_an_array_is_out_of_step():
    def ask(facts):
        shard = facts.shard(EVERY)
        rows = facts.losses(shard)[:, None]
        return facts.gather(EVERY, shard, list(rows) if facts.rank else rows)

    with pytest.raises(OutOfStep, match="of any length"):
        everywhere(2, ask)


def test_lengths_and_texts_are_the_samples_own_and_need_no_other_rank():
    facts = signals(rank=1, meeting=Meeting(2))
    assert facts.lengths(EVERY).tolist() == [len(sample.tokens) for sample in EVERYDAY.samples]
    assert [len(text.split()) for text in facts.texts(EVERY[:3])] == [
        sum(token != 2 for token in sample.tokens) for sample in EVERYDAY.samples[:3]
    ]
    assert not facts.asked


def test_shards_make_up_the_ids_and_are_in_another_order():
    parts = everywhere(4, lambda facts: facts.shard(EVERY[::2]))
    assert sorted(np.concatenate(parts).tolist()) == EVERY[::2].tolist()
    assert any(part.tolist() != sorted(part.tolist()) for part in parts)


@pytest.mark.numeric
def test_facts_agree_with_each_other():
    facts = signals()
    means = [losses.mean() for losses in facts.token_losses(EVERY)]
    np.testing.assert_allclose(facts.losses(EVERY), means, rtol=1e-6)
    np.testing.assert_array_equal(facts.influence(EVERY), facts.influences(EVERY).max(axis=1))
    held = facts.target("held")
    direction = held.gradients(np.arange(len(held)), adam=False).mean(axis=0)
    np.testing.assert_allclose(facts.gradients(EVERY) @ direction, facts.influences(EVERY)[:, 0], rtol=1e-4)


@pytest.mark.numeric
@pytest.mark.parametrize("method", ["influences", "alignments"])
def test_a_subtask_is_a_direction_of_its_samples(method):
    facts = signals()
    targets = [facts.target(name) for name in facts.targets]
    own = [held.direction(np.arange(len(held)), np.eye(len(held))) for held in targets]
    ask = getattr(facts, method)
    np.testing.assert_allclose(ask(EVERY, directions=own), ask(EVERY), rtol=1e-5)


@pytest.mark.numeric
def test_products_agree_with_projected_gradients_and_alignments():
    facts = signals()
    vectors = facts.gradients(EVERY, dim=64, unit=False)
    np.testing.assert_allclose(facts.products(EVERY, EVERY), vectors @ vectors.T, rtol=1e-4, atol=1e-4)
    one = facts.direction(EVERY[:1], np.ones(1))
    found = facts.alignments(EVERY, directions=[one], adam=False)
    np.testing.assert_allclose(facts.products(EVERY, EVERY[:1], adam=False), found, rtol=1e-6)


@pytest.mark.parametrize("pool", [SOME_WITHOUT_LOSS, ALL_WITHOUT_LOSS], ids=lambda pool: pool.name)
def test_a_sample_without_a_target_token_has_no_loss_and_no_gradient(pool):
    every = np.arange(len(pool))
    missing = ~np.array([pool.usable(i) for i in range(len(pool))])
    assert missing.any()
    facts = signals(pool)
    asked = (facts.influence(every), facts.alignments(every)[:, 0], facts.gradients(every, dim=8)[:, 0])
    for rows in (facts.losses(every), *asked, np.diag(facts.products(every, every))):
        np.testing.assert_array_equal(np.isnan(rows), missing)
    assert [len(losses) == 0 for losses in facts.token_losses(every)] == missing.tolist()


def test_a_model_that_trains_changes_its_facts_and_a_frozen_one_does_not():
    early, late = signals(step=2), signals(step=14)
    assert (late.losses(EVERY) < early.losses(EVERY)).all()
    np.testing.assert_array_equal(late.losses(EVERY, model="base"), early.losses(EVERY, model="base"))
    np.testing.assert_array_equal(late.losses(EVERY, model="base"), signals(step=0).losses(EVERY))
    assert (late.losses(EVERY, model="another") != late.losses(EVERY, model="base")).all()
    assert (late.embeddings(EVERY) != early.embeddings(EVERY)).all()


def test_completions_can_be_asked_about():
    made = signals().generations(EVERY, count=2, temperature=1.0)
    own = signals().over(made.rows(), "written")
    assert len(own) == 2 * len(EVERY)
    assert not np.isnan(own.losses(np.arange(len(own)))).any()
    assert any(text == told for texts, told in zip(made.texts, made.references, strict=True) for text in texts)


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda facts: facts.target("gone"), UnmetNeed),
        (lambda facts: facts.gradients(EVERY, dim=2), StrategyFault),
        (lambda facts: facts.influences(EVERY, directions=[]), StrategyFault),
        (lambda facts: facts.direction(EVERY, np.ones(3)), StrategyFault),
        (lambda facts: facts.direction(EVERY[:2], np.array([np.nan, 1.0])), StrategyFault),
        (lambda facts: facts.products(EVERY, EVERY + 1), StrategyFault),
        (lambda facts: facts.alignments(EVERY, directions=[facts.direction(EVERY, 0.0 * EVERY)]), DataError),
        (lambda facts: facts.embeddings(EVERY, pooling="max"), StrategyFault),
        (lambda facts: facts.generations(EVERY, count=2), StrategyFault),
        (lambda facts: facts.losses(np.array([len(EVERY)])), StrategyFault),
        (lambda facts: facts.losses(np.ones(len(EVERY), dtype=bool)), StrategyFault),
        (lambda facts: facts.generations(EVERY, temperature=0.0), StrategyFault),
    ],
)
def test_what_a_run_refuses_is_refused(ask, error):
    with pytest.raises(error):
        ask(signals())


OUT_OF_STEP = {
    "another call": (lambda rank, meet: meet("losses" if rank else "influences"), "losses"),
    "one call less": (lambda rank, meet: meet("losses") if rank else None, "ended"),
    "one call more": (lambda rank, meet: [meet("losses") for _ in range(1 + rank)], "ended"),
}


@pytest.mark.parametrize(("work", "said"), OUT_OF_STEP.values(), ids=OUT_OF_STEP)
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_that_are_out_of_step_fail_and_do_not_hang(world, work, said):
    with pytest.raises(OutOfStep, match=said) as caught:
        on_ranks(world, lambda rank, meeting: work(rank, lambda call: meeting.meet(rank, call, None)), patience=20)
    assert "rank 0" in str(caught.value)


def test_a_rank_that_fails_ends_the_others_with_its_own_error():
    def work(rank, meeting):
        if rank == 1:
            raise ZeroDivisionError("of rank 1")
        meeting.meet(rank, "losses", None)

    with pytest.raises(ZeroDivisionError, match="of rank 1") as caught:
        on_ranks(4, work, patience=20)
    assert caught.value.__notes__ == ["on rank 1 of 4"]


def test_a_strategy_that_swallows_every_exception_does_not_hide_the_fault():
    def work(rank, meeting):
        try:
            meeting.meet(rank, f"call {rank}", None)
        except Exception:
            return
        return

    with pytest.raises(OutOfStep):
        on_ranks(2, work, patience=20)


def test_ranks_that_get_nowhere_are_given_up():
    stuck = threading.Event()
    try:
        with pytest.raises(OutOfStep, match=r"ranks \[1\] were not heard of"):
            on_ranks(2, lambda rank, meeting: stuck.wait() if rank else meeting.meet(0, "x", None), patience=0.2)
    finally:
        stuck.set()


def test_every_rank_gets_what_all_brought_in_order():
    assert (
        on_ranks(3, lambda rank, meeting: [meeting.meet(rank, "x", (rank, i)) for i in range(50)])
        == [[[(r, i) for r in range(3)] for i in range(50)]] * 3
    )
