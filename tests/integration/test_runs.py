"""Runs as a user has them: each kind alone and all together, plans of exactly one interval, an honest journal."""

from __future__ import annotations

import json
import shutil
from collections import Counter

import pytest
from support import base_args, build_model, journalled, of_kind, records, train

from dataflex_core.catalog import discover
from dataflex_core.errors import DataError, RunFailed, UnmetNeed
from dataflex_core.spec import Kind, Need
from dataflex_strategies.weighters.rho_1 import Rho1Weighter

pytestmark = pytest.mark.numeric

RUNS = {
    "selector": {"selector": "loss"},
    "mixer": {"mixer": "temperature"},
    "weighter": {"weighter": "loss"},
    "all": {"selector": "loss", "mixer": "temperature", "weighter": "loss"},
}


@pytest.mark.parametrize("strategies", RUNS.values(), ids=RUNS)
def test_each_kind_alone_and_all_together(model, data, tmp_path, strategies):
    events: list[dict] = []
    output = train(base_args(model, data, tmp_path / "out"), events=events, **strategies)
    steps = of_kind(events, "step")
    assert [event["step"] for event in steps] == list(range(1, 9))
    assert all(len(event["samples"]) == 4 for event in steps)
    assert journalled(output) == events
    planned = set(strategies) - {"weighter"}
    decisions = of_kind(events, "decision")
    assert [(d["step"], d["until"]) for d in decisions] == ([(0, 2), (2, 5), (5, 8)] if planned else [])
    assert all(sum(d["chosen"].values()) == (d["until"] - d["step"]) * 4 for d in decisions)
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert any("dataflex/share/words" in entry for entry in history) == bool(planned)
    assert any("dataflex/effective_share" in entry for entry in history) == ("weighter" in strategies)


_NEEDS = {
    "cluster-less": ("selector.cluster_size=20", "selector.samples_per_cluster=2"),
    "greats": ("selector.exact_up_to=50",),
    "nice": ("selector.mc_samples=2", "selector.max_new_tokens=3", "selector.reward=rouge-l"),
    "rho-loss": ("selector.reference_model=base",),
    "ado": ("mixer.start=2", "mixer.every=2", "mixer.spacing=1"),
    "doge": ("mixer.towards=target", "mixer.probe=3"),
    "doremi": ("mixer.reference_model=base",),
    "dynamic-moe": ("mixer.probe=3",),
    "rho-1": ("weighter.reference_model=base",),
    "sheared": ("mixer.target_losses=[1,3]", "mixer.losses=training"),
    "static": ("mixer.proportions=[1,3]",),
}
_COLUMNS = {"column": ("score",)}


def rated(data, folder):
    """The same data, in which each row has a number."""
    shutil.copytree(data, folder)
    for path in folder.glob("*s.json"):
        rows = json.loads(path.read_text())
        path.write_text(json.dumps([{**row, "score": len(row["output"])} for row in rows]))
    return folder


@pytest.mark.parametrize("record", discover().of_kind(), ids=lambda r: f"{r.spec.kind}-{r.spec.name}")
def test_every_strategy_trains(model, experts, data, tmp_path, record):
    events: list[dict] = []
    model = experts if Need.EXPERT_LOADS in record.spec.needs else model
    columns = _COLUMNS.get(record.spec.name, ())
    args = base_args(model, data, tmp_path / "out", max_steps=6, eval_dataset="held,numbers_held")
    if columns:
        args |= {"dataset_dir": str(rated(data, tmp_path / "data")), "dataflex": {"columns": list(columns)}}
    settings = _NEEDS.get(record.spec.name, ())
    train(args, events=events, settings=settings, **{record.spec.kind.value: record.spec.name})
    assert of_kind(events, "end") == [{"event": "end", "step": 6}]


@pytest.mark.parametrize(("batch", "accumulation", "steps"), [(9, 1, 11), (8, 3, 4), (8, 5, 3)])
def test_a_weighter_alone_announces_what_it_trains_without_the_last_batch(
    model, data, tmp_path, batch, accumulation, steps
):
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", dataloader_drop_last=True, max_steps=None, num_train_epochs=1)
    args |= {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    train(args, events=events, weighter="loss")
    assert [event["steps"] for event in of_kind(events, "start")] == [steps]
    assert of_kind(events, "end") == [{"event": "end", "step": steps}]


def test_static_proportions_are_what_is_trained_on(model, data, tmp_path):
    events: list[dict] = []
    train(
        base_args(model, data, tmp_path / "out"),
        events=events,
        settings=("mixer.proportions.words=1", "mixer.proportions.numbers=3"),
        mixer="static",
    )
    assert [d["chosen"] for d in of_kind(events, "decision")[1:]] == [{"words": 3, "numbers": 9}] * 2
    late = [i for event in of_kind(events, "step")[2:] for i in event["samples"]]
    assert Counter("words" if i < 60 else "numbers" for i in late) == {"words": 6, "numbers": 18}


def test_proportions_may_be_of_tokens(model, data, tmp_path):
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", max_steps=20, dataflex={"unit": "tokens", "warmup_steps": 0})
    train(args, events=events, settings=("mixer.proportions=[1,1]",), mixer="static")
    (start,) = of_kind(events, "start")
    means = start["mean_tokens"]
    assert means["words"] != means["numbers"]
    share = (1 / means["words"]) / (1 / means["words"] + 1 / means["numbers"])
    told = of_kind(events, "trained")
    samples, tokens = ({name: sum(e[what][name] for e in told) for name in means} for what in ("samples", "tokens"))
    assert samples["words"] / 80 == pytest.approx(share, abs=1 / 80)
    assert tokens["words"] / sum(tokens.values()) == pytest.approx(0.5, abs=0.05)
    assert all(d["proportions"] == {"words": 0.5, "numbers": 0.5} for d in of_kind(events, "decision"))


def test_the_selector_chooses_within_the_mixers_quotas(model, data, tmp_path):
    events: list[dict] = []
    train(
        base_args(model, data, tmp_path / "out"),
        events=events,
        settings=("mixer.proportions=[1,1]",),
        mixer="static",
        selector="loss",
    )
    assert [d["chosen"] for d in of_kind(events, "decision")[1:]] == [{"words": 6, "numbers": 6}] * 2


def test_random_proportions_are_fresh_at_each_decision_and_the_same_for_a_seed(model, data, tmp_path):
    seen = []
    for name in ("a", "b"):
        events: list[dict] = []
        train(base_args(model, data, tmp_path / name), events=events, mixer="random")
        seen.append([tuple(d["proportions"].values()) for d in of_kind(events, "decision")[1:]])
    assert seen[0] == seen[1]
    assert len(set(seen[0])) == 2


def test_several_epochs_and_a_number_of_updates(model, data, tmp_path):
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", max_steps=None, num_train_epochs=3, max_samples=10)
    train(args, events=events, mixer="temperature")
    trained = Counter(i for event in of_kind(events, "step") for i in event["samples"])
    assert sum(trained.values()) == 60
    assert set(trained) == set(range(20))
    assert set(trained.values()) == {3}, "each pass reads every sample once"
    counted: list[dict] = []
    args = base_args(model, data, tmp_path / "n", max_steps=None, dataflex={"updates": 2, "update_steps": 2})
    train(args, events=counted, selector="random")
    assert len(of_kind(counted, "step")) == 2 + 2 * 2


def test_candidates_bound_what_a_decision_judges(model, data, tmp_path):
    events: list[dict] = []
    train(base_args(model, data, tmp_path / "out", dataflex={"candidates": "2x"}), events=events, selector="loss")
    assert [d["judged"] for d in of_kind(events, "decision")] == [0, 24, 24]
    budget: list[dict] = []
    args = base_args(model, data, tmp_path / "b", dataflex={"selection_budget": 0.5})
    train(args, events=budget, selector="loss")
    assert [d["judged"] for d in of_kind(budget, "decision")] == [0, 18, 18]
    assert of_kind(budget, "start")[0]["decision_cost"] == pytest.approx(18 / 3 / 4)


def test_a_shortage_is_journalled_and_the_plan_is_whole(model, data, tmp_path):
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", max_samples=9)
    train(args, events=events, mixer="static", selector="random", settings=("mixer.proportions=[0,1]",))
    late = of_kind(events, "decision")[1]
    assert late["chosen"] == {"words": 0, "numbers": 12}
    assert late["shortages"] == [{"domain": "numbers", "wanted": 12, "had": 9, "action": "next-epoch"}]
    with pytest.raises(DataError, match="quota is 12 samples, and it has 9"):
        train(
            {**args, "dataflex": {"exhaustion": "error"}},
            mixer="static",
            selector="random",
            settings=("mixer.proportions=[0,1]",),
        )


@pytest.mark.parametrize(
    ("strategies", "packing"),
    [
        ({"selector": "loss", "mixer": "random", "weighter": "loss"}, False),
        ({"selector": "less", "weighter": "uniform"}, None),
    ],
)
def test_pretraining_stage(model, data, tmp_path, strategies, packing):
    """A weighter of samples wants rows that are not packed: packing leaves no borders there."""
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", stage="pt", cutoff_len=16, eval_dataset="held", packing=packing)
    train(args, events=events, **strategies)
    assert len(of_kind(events, "step")) == 8


def test_a_weighter_of_tokens_trains_packed_rows_of_pretraining(model, data, tmp_path, monkeypatch):
    """There are no borders between samples there, and none are needed."""
    kept = []

    def watched(weighter, request, losses, stock=Rho1Weighter.weigh):
        made = stock(weighter, request, losses)
        kept.append(float(made.sum()) / int(losses.mask.sum()))
        return made

    monkeypatch.setattr(Rho1Weighter, "weigh", watched)
    weighter = {"name": "rho-1", "reference_model": str(build_model(tmp_path / "reference", seed=1)), "keep": 0.5}
    train(base_args(model, data, tmp_path / "out", stage="pt", cutoff_len=16, dataflex={"weighter": weighter}))
    assert kept == [pytest.approx(0.5, abs=0.05)] * 6, "each step after the warm-up"


def test_accumulation_trains_the_plan_in_order(model, data, tmp_path):
    plans = []
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        events: list[dict] = []
        args = base_args(
            model,
            data,
            tmp_path / f"{batch}",
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            dataloader_num_workers=batch % 2,
        )
        train(args, events=events, selector="random", mixer="temperature")
        plans.append([event["samples"] for event in of_kind(events, "step")])
    assert plans[0] == plans[1] == plans[2]


def test_a_held_out_share_is_a_target_set(model, data, tmp_path):
    events: list[dict] = []
    train(base_args(model, data, tmp_path / "out", val_size=0.1), events=events, selector="less")
    start = of_kind(events, "start")[0]
    assert start["targets"] == {"validation": 10}
    assert sum(start["domains"].values()) == 90


def test_an_earlier_journal_is_kept(model, data, tmp_path):
    for _ in range(2):
        output = train(base_args(model, data, tmp_path / "out", max_steps=3), mixer="random")
    folder = output / "dataflex"
    first, second = (records(folder / name) for name in ("journal-1.jsonl", "journal.jsonl"))
    assert [e["event"] for e in first] == [e["event"] for e in second]
    assert first[-1]["event"] == "end"


def test_kinds_are_all_covered():
    assert {record.spec.kind for record in discover().of_kind()} == set(Kind)


def test_warmup_proportions_are_the_warmups_alone(model, data, tmp_path):
    events: list[dict] = []
    section = {"warmup_proportions": {"words": 0, "numbers": 1}, "candidates": 2, "warmup_steps": 4}
    train(base_args(model, data, tmp_path / "out", dataflex=section, max_steps=10), events=events, selector="random")
    decisions = of_kind(events, "decision")
    assert decisions[0]["chosen"] == {"words": 0, "numbers": 16}
    assert all(d["chosen"]["words"] > 0 for d in decisions[1:])
    assert [d["judged"] for d in decisions] == [0, 24, 24]
    section = {**section, "warmup_steps": 16, "exhaustion": "error"}
    with pytest.raises(DataError, match="domain numbers has 40 unread samples, the interval wants 64"):
        train(base_args(model, data, tmp_path / "e", dataflex=section, max_steps=20), selector="random")


@pytest.mark.parametrize("planned", [True, False])
def test_tokenised_data_is_saved_and_used_again(model, data, tmp_path, planned):
    tokenized = str(tmp_path / "tokens")
    strategies = {"selector": "random"} if planned else {"weighter": "loss"}
    plans = []
    for name in ("a", "b"):
        events: list[dict] = []
        args = base_args(model, data, tmp_path / name, tokenized_path=tokenized, eval_dataset="held", max_steps=4)
        train(args, events=events, **strategies)
        plans.append([event["samples"] for event in of_kind(events, "step")])
        assert of_kind(events, "start")[0]["domains"] == (
            {"words": 60, "numbers": 40} if planned else {"words+numbers": 100}
        )
    assert plans[0] == plans[1]
    if not planned:
        args = base_args(model, data, tmp_path / "c", tokenized_path=tokenized, max_steps=4)
        with pytest.raises(DataError, match=r"tokenized_path holds words\+numbers in one piece"):
            train(args, mixer="temperature")


def test_evaluation_and_checkpoints_between_decisions(model, data, tmp_path):
    changes = {
        "eval_dataset": "held,numbers_held",
        "eval_on_each_dataset": True,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_strategy": "steps",
        "save_steps": 4,
        "load_best_model_at_end": True,
        "metric_for_best_model": "eval_held_loss",
    }
    events: list[dict] = []
    output = train(base_args(model, data, tmp_path / "out", **changes), events=events, selector="less", weighter="loss")
    assert len(of_kind(events, "step")) == 8
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    assert sum("eval_held_loss" in entry for entry in history) == 4
    assert all("dataflex/share/words" not in entry for entry in history if "eval_held_loss" in entry)
    assert any("dataflex/share/words" in entry for entry in history)


def test_the_seed_decides_the_plan(model, data, tmp_path):
    plans = {}
    for name, changes in {"a": {}, "b": {}, "c": {"seed": 8}, "d": {"seed": 8, "data_seed": 7}}.items():
        events: list[dict] = []
        train(base_args(model, data, tmp_path / name, max_steps=4, **changes), events=events, selector="random")
        plans[name] = [d["plan"] for d in of_kind(events, "decision")]
    assert plans["a"] == plans["b"] == plans["d"] != plans["c"]


def test_less_follows_badam_from_block_to_block(model, data, tmp_path):
    pytest.importorskip("badam")
    events: list[dict] = []
    block = {"use_badam": True, "badam_switch_interval": 1, "badam_switch_mode": "ascending", "badam_verbose": 0}
    args = base_args(
        model,
        data,
        tmp_path / "out",
        eval_dataset="held",
        finetuning_type="full",
        dataflex={"warmup_steps": 2, "update_steps": 2},
        **block,
    )
    train(args, events=events, selector="less")
    assert [d["step"] for d in of_kind(events, "decision")] == [0, 2, 4, 6]
    assert sum("one block of layers at a time" in e["text"] for e in of_kind(events, "notice")) == 1


def test_a_mixer_goes_by_what_is_held_out_and_nothing_of_that_trains(model, data, tmp_path):
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", dataflex={"holdout": 0.1})
    train(args, events=events, mixer="sheared", settings=("mixer.target_losses=[1,3]",))
    (start,) = of_kind(events, "start")
    assert start["holdout"].keys() == start["domains"].keys() == {"words", "numbers"}
    assert {name: start["domains"][name] + start["holdout"][name] for name in start["domains"]} == {
        "words": 60,
        "numbers": 40,
    }
    held = sum(start["holdout"].values())
    assert start["mixing_cost"] == pytest.approx(held / 3 / 4, abs=1e-3)
    decisions = of_kind(events, "decision")
    assert [d["cost"] for d in decisions] == [0.0, start["mixing_cost"], start["mixing_cost"]]
    first, second = (d["notes"]["mixer"] for d in decisions[1:])
    told = {f"{what}/{name}" for what in ("gap", "held_out") for name in start["domains"]}
    assert first.keys() == second.keys() == told
    assert first["held_out/words"] != second["held_out/words"], "the model has trained"
    pool = sum(start["domains"].values())
    assert all(max(step["samples"]) < pool for step in of_kind(events, "step"))


def test_a_mixer_that_goes_by_what_is_held_out_is_refused_where_nothing_is(model, data, tmp_path):
    with pytest.raises(UnmetNeed, match="odm goes by samples that are kept out of training") as told:
        train(base_args(model, data, tmp_path / "out"), mixer="odm", settings=("mixer.reward=holdout",))
    assert "dataflex.holdout" in told.value.hint


def test_a_workflow_that_is_not_known_is_told(model, data, tmp_path, monkeypatch):
    monkeypatch.setattr("llamafactory.train.tuner.run_exp", lambda args: None)
    with pytest.raises(RunFailed, match="trained without the run's strategies"):
        train(base_args(model, data, tmp_path / "out"), selector="random")
