"""What runs journal of domains, weights, times and costs; what trackers show of it, and what is printed."""

from __future__ import annotations

import itertools
import json
import shutil
import time

import numpy as np
import pytest
from support import base_args, losses_by_sample, train
from transformers import Trainer

from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import UnmetNeed
from dataflex_core.journal import open_run
from dataflex_core.journal.figures import overlap
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind
from dataflex_core.trainer.kept_texts import KeptTexts

pytestmark = pytest.mark.numeric

DOMAINS = ("words", "numbers")
STILL = {"learning_rate": 1e-20, "lr_scheduler_type": "constant"}  # the model stays as it is


def by_domain(ids, values):
    sums = dict.fromkeys(DOMAINS, 0)
    for number in ids:
        sums["words" if number < 60 else "numbers"] += values[number]
    return sums


@pytest.mark.parametrize(
    ("strategies", "section"),
    [
        ({"mixer": "random", "weighter": "loss"}, {}),
        ({"selector": "random"}, {"loss_by_domain": True}),
        ({"mixer": "random"}, {}),
    ],
    ids=["a weighter's run", "on request", "without token losses"],
)
def test_losses_and_tokens_by_domain_are_those_of_the_samples(model, data, tmp_path, strategies, section):
    args = base_args(model, data, tmp_path / "out", gradient_accumulation_steps=2, max_steps=5, **STILL)
    run = open_run(train({**args, "dataflex": section}, **strategies))
    sums, counts = zip(*losses_by_sample(args), strict=True)
    assert [(event.after, event.step) for event in run.trained] == [(0, 2), (2, 4), (4, 5)]
    for event in run.trained:
        ids = [i for step in run.steps[event.after : event.step] for i in step.samples]
        assert event.samples == by_domain(ids, [1] * 100)
        assert event.tokens == by_domain(ids, counts)
        if set(strategies) == {"mixer"}:
            assert event.losses is None, "nobody needs token losses"
        else:
            assert event.losses == pytest.approx(by_domain(ids, sums), rel=1e-4)


def test_losses_of_a_weighter_alone_are_told_by_data_set(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", max_steps=25, num_train_epochs=1, logging_steps=25, **STILL)
    run = open_run(train(args, weighter="loss"))
    sums, counts = zip(*losses_by_sample(args), strict=True)
    (event,) = run.trained
    assert run.start.domains == {"words+numbers": 100}
    assert event.samples == {"words": 60, "numbers": 40}, "one pass over all"
    assert event.tokens == by_domain(range(100), counts)
    assert event.losses == pytest.approx(by_domain(range(100), sums), rel=1e-4)


def formula(strategy, losses):
    """Of the loss weighter's docstring, with its defaults."""
    h = 2 * (losses - losses.min()) / (losses.max() - losses.min()) - 1
    f = np.minimum(h + 1, 1) if strategy == "linupper" else 1 - h**2
    return np.exp(f) / np.exp(f).mean()


@pytest.mark.parametrize(("batch", "accumulation"), [(8, 1), (1, 8)])
@pytest.mark.parametrize("strategy", ["linupper", "quadratic"])
def test_weights_by_domain_are_as_the_formula_says(model, data, tmp_path, strategy, batch, accumulation):
    """However a step is split into batches."""
    changes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation, "max_steps": 5}
    args = base_args(model, data, tmp_path / "out", logging_steps=1, **changes, **STILL)
    run = open_run(train({**args, "dataflex": {"weighter": {"name": "loss", "strategy": strategy}}}))
    sums, counts = (np.array(column) for column in zip(*losses_by_sample(args), strict=True))
    moved = []
    for event, step in zip(run.trained, run.steps, strict=True):
        if event.step <= run.start.warmup_steps:
            assert event.weights is None, "all count alike"
            continue
        ids = np.array(step.samples)
        weights = formula(strategy, sums[ids] / counts[ids]) * counts[ids]
        weights *= counts[ids].sum() / weights.sum()
        told = dict(zip(ids.tolist(), weights.tolist(), strict=True))
        assert event.weights == pytest.approx(by_domain(ids, told), rel=1e-3)
        moved.append(abs(event.weights["numbers"] / event.tokens["numbers"] - 1))
    assert moved
    assert max(moved) > 0.01


def test_losses_on_request_change_nothing_but_rounding(model, data, tmp_path):
    losses = []
    for name, section in (("plain", {}), ("asked", {"loss_by_domain": True})):
        args = base_args(model, data, tmp_path / name, dataflex=section)
        run = open_run(train(args, selector="random"))
        losses.append([event.training["loss"] for event in run.logged])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_losses_on_request_are_refused_where_another_loss_is_asked_for(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", use_dft_loss=True, dataflex={"loss_by_domain": True})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(args))
    with pytest.raises(UnmetNeed, match="loss_by_domain needs the loss of each token") as refused:
        prepare(load_config(path, Overrides(strategies={Kind.SELECTOR: "random"})), discover())
    assert tuple(refused.value.key) == ("dataflex", "loss_by_domain")


def test_a_decision_says_what_it_took_and_what_it_changed(model, data, tmp_path, monkeypatch):
    shown = KeptTexts.shown

    def slow(*args):
        time.sleep(0.01)  # which is no fact about the model
        return shown(*args)

    monkeypatch.setattr(KeptTexts, "shown", slow)
    args = base_args(model, data, tmp_path / "out", eval_dataset="held")
    run = open_run(train(args, selector="less"))
    warmup, *decisions = run.decisions
    assert (warmup.cost, warmup.scores, warmup.overlap, warmup.signal_seconds) == (0.0, None, None, 0.0)
    for before, made in zip(run.decisions, decisions, strict=False):
        assert 0 < made.signal_seconds <= made.seconds
        assert made.cost == run.start.decision_cost == pytest.approx((106 + 10) / 4)
        assert made.explained == 10
        assert made.scores is not None
        assert (made.scores.count, made.scores.lost) == (100, 0)
        assert made.scores.length_correlation is not None
        assert made.overlap == overlap(run.samples_of(before), run.samples_of(made))


def test_a_start_says_all_that_was_configured(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", max_steps=3)
    start = open_run(train(args, settings=("mixer.temperature=0.5",), mixer="temperature")).start
    assert start.model == str(model)
    assert start.config["mixer"] == {"name": "temperature", "params": {"temperature": 0.5}}
    assert (start.config["warmup_steps"], start.config["loss_by_domain"]) == (2, "auto")
    assert {"python", "torch", "llamafactory", "dataflex-core", "dataflex-strategies"} <= set(start.versions)


def test_evaluations_and_logs_are_journalled(model, data, tmp_path):
    changes = {"eval_dataset": "held", "eval_strategy": "steps", "eval_steps": 4}
    output = train(base_args(model, data, tmp_path / "out", **changes), weighter="loss")
    run, history = open_run(output), json.loads((output / "trainer_state.json").read_text())["log_history"]
    *found, last = [(event.step, event.figures["eval_loss"]) for event in run.evaluations]
    assert found == [(entry["step"], entry["eval_loss"]) for entry in history if "eval_loss" in entry]
    assert last == found[-1], "of the trained model, after the end"
    assert run.end is not None
    logged = [(event.step, event.training["loss"]) for event in run.logged]
    assert logged == [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    assert all(0 <= event.deciding <= event.seconds for event in run.logged)


def test_evaluations_and_checkpoints_are_timed_by_themselves(model, data, tmp_path, monkeypatch):
    slow, stock = 0.3, Trainer._save_checkpoint

    def saved(*args, **kwargs):
        time.sleep(slow)
        return stock(*args, **kwargs)

    monkeypatch.setattr(Trainer, "_save_checkpoint", saved)
    changes = {"eval_dataset": "held", "eval_strategy": "steps", "eval_steps": 2, "save_strategy": "steps"}
    args = base_args(model, data, tmp_path / "out", save_steps=4, logging_steps=2, **changes)
    run = open_run(train(args, weighter="loss"))
    assert run.logged[0].paused == 0.0
    for before, event in itertools.pairwise(run.logged):
        took = sum(one.figures["eval_runtime"] for one in run.evaluations if one.step == before.step)
        assert event.paused >= took + slow * (before.step % 4 == 0) - 0.001
        assert event.deciding + event.paused <= event.seconds + 0.002


def test_weights_in_short_begin_after_the_warmup(model, data, tmp_path):
    run = open_run(train(base_args(model, data, tmp_path / "out"), weighter="loss"))
    first, *later = [event.weights for event in run.logged]
    assert first is None
    for weights in later:
        assert (weights.count, weights.lost) == (8, 0)
        assert weights.spread > 0
        assert 0 < weights.effective_share < 1
    shown = [event.means["dataflex/effective_share"] for event in run.logged[1:]]
    assert shown == [weights.effective_share for weights in later]


def test_what_a_run_that_went_on_journals_is_what_one_that_was_not_stopped_does(model, data, tmp_path):
    """From a checkpoint that lies between two logs."""
    args = base_args(model, data, tmp_path / "whole", save_strategy="steps", save_steps=5, logging_steps=4)
    args["dataflex"] = {"loss_by_domain": True}
    strategies = {"selector": "loss", "weighter": "loss"}
    whole = open_run(train(args, **strategies))
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    args |= {"output_dir": str(tmp_path / "again"), "resume_from_checkpoint": str(tmp_path / "again/checkpoint-5")}
    again = open_run(train(args, **strategies))
    assert [event.step for event in again.resumes] == [5]
    assert again.trained == whole.trained
    assert [event.weights for event in again.logged] == [event.weights for event in whole.logged]
    assert [(made.overlap, made.scores) for made in again.decisions] == [
        (made.overlap, made.scores) for made in whole.decisions
    ]
    assert again.samples == whole.samples


def test_a_fallback_is_told_once_and_as_such(model, data, tmp_path):
    run = open_run(train(base_args(model, data, tmp_path / "out", eval_dataset="held", optim="sgd"), selector="less"))
    (fallback,) = run.fallbacks
    assert (fallback.kind, fallback.step) == ("plain-gradients", 2)
    assert "no Adam moments" in fallback.text


@pytest.mark.parametrize("bar", [True, False])
def test_the_printed_line_is_llamafactorys(model, data, tmp_path, bar, capfd):
    train(base_args(model, data, tmp_path / "out", disable_tqdm=not bar), mixer="random", weighter="loss")
    said = "".join(capfd.readouterr())
    assert "'grad_norm'" in said
    assert "dataflex/" not in said.replace("/dataflex/", "")


def on_board(folder):
    """Figures by step of TensorBoard's own file, by the names that they are logged by."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = folder.rglob("events.out.tfevents.*")
    board = EventAccumulator(str(file))
    board.Reload()
    names = [tag.removeprefix("train/") for tag in board.Tags()["scalars"] if tag.startswith("train/")]
    return {name: {each.step: each.value for each in board.Scalars(f"train/{name}")} for name in names}


def in_mlflow(folder):
    """Likewise of MLflow's local store."""
    from mlflow import MlflowClient

    client = MlflowClient(str(folder / "mlruns"))
    (experiment,) = [each.experiment_id for each in client.search_experiments() if each.name != "Default"]
    (run,) = client.search_runs([experiment])
    names = run.data.metrics
    return {name: {m.step: m.value for m in client.get_metric_history(run.info.run_id, name)} for name in names}


@pytest.mark.parametrize(("tracker", "read"), [("tensorboard", on_board), ("mlflow", in_mlflow)])
def test_trackers_show_it_in_their_own_files(model, data, tmp_path, monkeypatch, tracker, read):
    pytest.importorskip(tracker, reason=f"{tracker} is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(tmp_path / "mlruns"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    args = base_args(model, data, tmp_path / "out", report_to=tracker, logging_dir=str(tmp_path / "board"))
    run = open_run(train(args, selector="loss", mixer="temperature", weighter="loss"))
    figures = read(tmp_path)

    def shown(name):
        return figures[f"dataflex/{name}"]

    sizes = {"words": 60, "numbers": 40}
    assert len(run.trained) == 4
    for event in run.trained:
        ids = run.samples[: 4 * event.step]
        assert shown("coverage")[event.step] == pytest.approx(len(set(ids)) / 100)
        for name in DOMAINS:
            counted = by_domain(ids, [1] * 100)[name]
            assert shown(f"loss/{name}")[event.step] == pytest.approx(event.losses[name] / event.tokens[name])
            assert shown(f"share/{name}")[event.step] == pytest.approx(event.samples[name] / 8)
            assert shown(f"share_tokens/{name}")[event.step] == pytest.approx(
                event.tokens[name] / sum(event.tokens.values())
            )
            assert shown(f"seen/{name}")[event.step] == pytest.approx(counted / sizes[name])
    for made in run.decisions[1:]:
        step = next(event.step for event in run.logged if event.step > made.step)
        assert shown("share_wanted/words")[step] == pytest.approx(made.proportions["words"])
        assert shown("overlap")[step] == pytest.approx(made.overlap)
        assert shown("score/mean")[step] == pytest.approx(made.scores.mean)
        assert shown("score/spread")[step] == pytest.approx(made.scores.spread)
        assert shown("score/nan")[step] == made.scores.lost
        assert shown("score/length_correlation")[step] == pytest.approx(made.scores.length_correlation)
    for event in run.logged:
        assert shown("deciding")[event.step] == pytest.approx(event.deciding / event.seconds)
        if event.weights is not None:
            assert shown("effective_share")[event.step] == pytest.approx(event.weights.effective_share)
            assert shown("weight/mean")[event.step] == pytest.approx(event.weights.mean)
            assert shown("weight/spread")[event.step] == pytest.approx(event.weights.spread)
    assert np.isfinite([value for values in figures.values() for value in values.values()]).all()


def test_without_a_tracker_only_shares_and_notes_are_kept(model, data, tmp_path):
    output = train(base_args(model, data, tmp_path / "out"), selector="loss", weighter="loss")
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    kept = {name for entry in history for name in entry if name.startswith("dataflex/")}
    assert kept == {"dataflex/share/words", "dataflex/share/numbers", "dataflex/effective_share"}
