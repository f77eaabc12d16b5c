"""Why a sample was chosen: cosines with each target sample, whose means are the scores, at the cost that is told."""

from __future__ import annotations

import numpy as np
import pytest
from signal_support import TARGETS, set_up, signals_of
from support import base_args, build_model, journalled, of_kind, train

from dataflex_core.journal import open_run
from dataflex_core.journal.texts import read_texts
from dataflex_core.scoring import own_directions

pytestmark = pytest.mark.numeric

IDS = np.array([3, 30, 7, 0, 21, 12, 39])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("reasons"), seed=3)


@pytest.mark.parametrize("how", ["lora", "full"])
@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("held", [100, 4], ids=["targets are kept", "in blocks"])
def test_their_means_over_a_subtask_are_the_influence_on_it(folder, monkeypatch, how, adam, held):
    model, optimizer, pool, targets = set_up(folder, how)
    empty = {"input_ids": [5, 6, 7], "labels": [-100] * 3, "attention_mask": [1] * 3}
    targets[0][2], pool[12] = empty, empty
    signals = signals_of(model, optimizer, pool, targets)
    signals._context.explains = True
    size = sum(p.numel() for p in signals._context.gradients.parameters.values())
    monkeypatch.setattr(own_directions, "_HELD", held * size)
    expected = signals.influences(IDS, adam=adam)
    made, real = [], signals._context.gradients.of
    signals._context.gradients.of = lambda batch: (made.append(len(batch["input_ids"])), real(batch))[1]
    found = signals.reasons(IDS, 10_000, adam=adam)
    assert found.ids.tolist() == sorted(IDS)
    assert found.cosines.shape == (len(IDS), sum(TARGETS))
    assert sum(made) == found.gradients == (len(IDS) if held == 100 else len(IDS) + 2 * sum(TARGETS))
    assert np.isnan(found.cosines[:, 2]).all()
    order = np.argsort(IDS)
    for k, part in enumerate(np.split(np.delete(found.cosines, 2, axis=1), [TARGETS[0] - 1], axis=1)):
        np.testing.assert_allclose(part.mean(axis=1), expected[order, k], rtol=1e-4, atol=1e-5)
    assert np.isnan(found.cosines[found.ids == 12]).all()


@pytest.mark.parametrize("held", [100, 4], ids=["targets are kept", "in blocks"])
def test_they_are_of_the_layers_and_of_the_model_that_scores_were_of(folder, monkeypatch, held):
    model, optimizer, pool, targets = set_up(folder, "lora")
    signals = signals_of(model, optimizer, pool, targets)
    signals._context.explains = True
    size = sum(p.numel() for p in signals._context.gradients_of("last-1").parameters.values())
    monkeypatch.setattr(own_directions, "_HELD", held * size)
    ids = np.sort(IDS)
    for step, options in enumerate([{"layers": "last-1"}, {"layers": "last-1", "refresh": 2}, {"refresh": 3}]):
        signals.new_decision(10 * step)
        expected = signals.influences(ids, **options)
        signals.influences(ids, layers=0.5, adam=False)  # somebody asks for others in between
        found = signals.reasons(ids, 10_000, adam=True, **options)
        means = [part.mean(axis=1) for part in np.split(found.cosines, [TARGETS[0]], axis=1)]
        np.testing.assert_allclose(np.stack(means, axis=1), expected, rtol=1e-4, atol=1e-5)
        signals.new_decision(10 * step + 5)
        signals.influences(ids, **options)
        again = signals.reasons(ids, 10_000, adam=True, **options)
        assert (len(again.ids), again.gradients > 0) == ((0, False) if "refresh" in options else (len(ids), True))


def shown_in(output):
    run = open_run(output)
    return run, read_texts(output / "dataflex" / "texts" / f"{run.start.run}.jsonl")


def test_a_run_says_whom_its_samples_help_and_what_that_cost(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", eval_dataset="held,numbers_held")
    run, kept = shown_in(train(args, selector="less"))
    taken = 100 + 11
    assert run.start.decision_cost == pytest.approx((taken + taken // 10) / 4)
    places = {(text.target, text.sample): text for text in kept.targets}
    for made in run.decisions[1:]:
        assert made.explained == taken // 10
        assert made.cost == pytest.approx(run.start.decision_cost)
        told = [one for one in kept.shown if one.decision == made.decision]
        helping = {one.sample: one for one in told if one.helps is not None}
        assert len(helping) == made.explained
        for one in helping.values():
            assert max(one.helps.means.values()) == pytest.approx(one.score, abs=1e-4)
            assert set(one.helps.means) == {"held", "numbers_held"}
            assert -1 <= one.helps.means[one.helps.target] <= one.helps.cosine <= 1
            assert places[one.helps.target, one.helps.sample].pieces
        assert {"highest", "lowest", "marginal", "random"} <= {one.why for one in told if one.helps is not None}
    assert all(one.loss is None for one in kept.shown)
    assert all(one.helps is None for one in kept.shown if one.decision == 0)


def test_a_decision_that_looks_along_kept_directions_is_not_explained(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", eval_dataset="held,numbers_held", max_steps=11)
    settings = ("selector.layers=last-1", "selector.refresh_target=2")
    run, kept = shown_in(train(args, settings=settings, selector="less"))
    assert [made.explained > 0 for made in run.decisions] == [False, True, False, True]
    share = 1 / 3 + 2 / 3 * 0.5  # one of two layers
    assert run.decisions[2].cost == pytest.approx(100 * share / 4, abs=1e-3)
    for made in run.decisions[1::2]:
        assert made.cost == pytest.approx((111 * share + made.explained) / 4, abs=1e-3)
    told = [one for one in kept.shown if one.helps is not None]
    assert {one.decision for one in told} == {1, 3}
    for one in told:
        assert max(one.helps.means.values()) == pytest.approx(one.score, abs=1e-4)


@pytest.mark.parametrize("gone", ["texts", "scores"])
def test_what_may_not_be_kept_is_not_worked_out(model, data, tmp_path, gone):
    section = {"keep": {gone: False}}
    args = base_args(model, data, tmp_path / "out", eval_dataset="held", dataflex=section, max_steps=5)
    output = train(args, selector="less")
    run = open_run(output)
    assert [made.explained for made in run.decisions] == [0, 0]
    assert run.start.decision_cost == run.decisions[1].cost == pytest.approx(106 / 4)
    assert '"helps": {' not in "".join(path.read_text() for path in output.glob("dataflex/texts/*"))


def test_what_a_selector_was_told_of_losses_is_shown(model, data, tmp_path):
    output = train(base_args(model, data, tmp_path / "out", max_steps=5), selector="loss")
    _, kept = shown_in(output)
    told = [one for one in kept.shown if one.decision == 1 and one.score is not None]
    assert told
    assert all(one.loss == pytest.approx(one.score, rel=1e-6) for one in told)
    assert of_kind(journalled(output), "decision")[1]["explained"] == 0
