"""A run that goes on from a checkpoint is the run that was never stopped: plans, losses and weights, bit for bit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from broken_plugin import catalog as extra_catalog
from support import base_args, journalled, of_kind, train, weights

from dataflex_core.catalog import Catalog, discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import DataError, InvalidConfig, StrategyFault
from dataflex_core.llamafactory.resume import resolved
from dataflex_core.spec import Kind
from dataflex_core.trainer.checkpoint_files import (
    FORMAT,
    newest_complete,
    read_state,
    seal,
    stored_state,
    what_is_torn,
    write_state,
)

pytestmark = pytest.mark.numeric

DATA = Path(__file__).parents[1] / "data"
FORMAT_1 = f"was written in format 1, this version reads {FORMAT}"

COMMON = {
    "max_steps": 11,
    "save_steps": 2,
    "save_strategy": "steps",
    "logging_steps": 1,
    "lora_dropout": 0.1,
    "eval_dataset": "held,numbers_held",
}
SETS = {
    "less": {"selector": "less"},
    "predicted": {"selector": "less"},
    "remember": {"mixer": "remembering"},
    "all": {"selector": "less", "mixer": "random", "weighter": "loss"},
}
SLOW = {
    "ado": {"mixer": "ado"},
    "doge": {"mixer": "doge"},
    "held out": {"mixer": "sheared"},
    "mix": {"mixer": "random"},
    "weigh": {"weighter": "loss"},
    "cluster-less": {"selector": "cluster-less"},
    "greats": {"selector": "greats", "mixer": "random"},
    "icons": {"selector": "icons", "mixer": "static", "weighter": "loss"},
    "nice": {"selector": "nice"},
    "dynamic-moe": {"mixer": "dynamic-moe"},
}

SECTIONS = {
    "predicted": {"exact": 0.5, "exact_floor": 0, "features": "both", "spread": {"temperature": 0.3}},
    "ado": {"mixer": {"name": "ado", "start": 5, "every": 2, "smoothing": 5, "spacing": 1}},
    "doge": {"mixer": {"name": "doge", "probe": 3}},
    "held out": {"mixer": {"name": "sheared", "target_losses": [1, 3]}, "holdout": 0.1},
    "cluster-less": {"selector": {"name": "cluster-less", "cluster_size": 20}},
    "greats": {"selector": {"name": "greats", "exact_up_to": 50, "temperature": 1e-3}},
    "icons": {"mixer": {"name": "static", "proportions": [1, 2]}},
    "dynamic-moe": {"mixer": {"name": "dynamic-moe", "probe": 7}},
    "nice": {"selector": {"name": "nice", "mc_samples": 3, "max_new_tokens": 4, "reward": "rouge-l"}},
}
# The second decision, after both checkpoints, looks along the first one's directions.
SETTINGS = {"predicted": ("selector.refresh_target=2", "selector.layers=last-1", "selector.prefilter=losses")}


def _catalog() -> Catalog:
    return Catalog(records=(*discover().records, *extra_catalog().records))


def _told(events):
    kept = [e for e in events if e["event"] in ("start", "decision", "step", "end")]
    # Features cost the run that makes them, and one that finds them nothing.
    apart = {"seconds", "signal_seconds", "past", *(["cost", "break_even"] if kept[0]["features_cost"] else [])}
    return [{k: v for k, v in e.items() if k not in apart} for e in kept]


def _losses(output):
    history = json.loads((output / "trainer_state.json").read_text())["log_history"]
    return [(entry["step"], entry["loss"], entry["grad_norm"]) for entry in history if "loss" in entry]


@pytest.fixture(scope="module", params=[*SETS, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def whole(request, model, experts, data, tmp_path_factory):
    """A run that was never stopped, with all its checkpoints."""
    model = experts if request.param == "dynamic-moe" else model
    output = tmp_path_factory.mktemp("whole") / "run"
    events: list[dict] = []
    args = base_args(model, data, output, **COMMON, dataflex=SECTIONS.get(request.param, {}))
    strategies = {**{**SETS, **SLOW}[request.param], "settings": SETTINGS.get(request.param, ())}
    train(args, events=events, catalog=_catalog(), **strategies)
    return args, strategies, events


@pytest.mark.parametrize("step", [2, 4])
def test_the_rest_is_as_it_was(whole, tmp_path, step):
    """From a checkpoint at the end of the warm-up, and amid an interval."""
    args, strategies, events = whole
    output = tmp_path / "run"
    shutil.copytree(args["output_dir"], output)
    again: list[dict] = []
    resumed = {**args, "output_dir": str(output), "resume_from_checkpoint": str(output / f"checkpoint-{step}")}
    train(resumed, events=again, catalog=_catalog(), **strategies)
    assert _told(again) == _told(events)
    journal = journalled(output)
    assert _told(journal) == _told(events)
    assert [e["step"] for e in of_kind(journal, "resume")] == [step]
    assert _losses(output) == _losses(Path(args["output_dir"]))
    expected, found = weights(Path(args["output_dir"])), weights(output)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_the_journal_comes_along_to_another_folder(whole, tmp_path):
    args, strategies, events = whole
    resumed = {**args, "output_dir": str(tmp_path), "resume_from_checkpoint": f"{args['output_dir']}/checkpoint-8"}
    train(resumed, catalog=_catalog(), **strategies)
    assert _told(journalled(tmp_path)) == _told(events)


STATE = {"step": 4, "cursors": [3, 5], "plan": np.arange(6), "deep": {"a": [np.float32(0.1), None, {"b": np.eye(2)}]}}


def _checkpoint(folder):
    folder.mkdir(parents=True)
    write_state(folder, STATE)
    for name in ("model.safetensors", "optimizer.pt", "rng_state.pth", "trainer_state.json"):
        (folder / name).write_text("whole")
    seal(folder)
    return folder


def test_a_state_is_read_as_it_was_written(tmp_path):
    state = read_state(_checkpoint(tmp_path / "checkpoint-4"))
    assert state["cursors"] == [3, 5]
    assert state["deep"]["a"][:2] == [float(np.float32(0.1)), None]
    np.testing.assert_array_equal(state["plan"], np.arange(6))
    np.testing.assert_array_equal(state["deep"]["a"][2]["b"], np.eye(2))
    assert state["plan"].dtype == np.int64


def test_a_state_of_any_shape_and_name_is_read_as_it_was_given(tmp_path):
    given = {
        "en": {"wiki": np.array([1, 2])},
        "en.wiki": np.array([9, 9, 9]),
        "number": np.array(3.5),
        "none": np.zeros((0, 3), dtype=np.float16),
        "others": np.arange(3, dtype=">i4"),
        "turned": np.arange(6).reshape(2, 3).T,
        "0": [np.array([True, False]), {"1": np.uint64(2**63)}],
    }
    write_state(tmp_path, given)
    seal(tmp_path)
    state = stored_state(tmp_path)
    assert state["en"]["wiki"].tolist() == [1, 2]
    assert state["en.wiki"].tolist() == [9, 9, 9]
    assert (state["number"].shape, float(state["number"])) == ((), 3.5)
    assert (state["none"].shape, state["none"].dtype) == ((0, 3), np.float16)
    assert state["others"].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(state["turned"], given["turned"])
    assert state["0"][0].tolist() == [True, False]
    assert state["0"][1] == {"1": 2**63}


TORN = {
    "no state": (lambda c: shutil.rmtree(c / "dataflex"), "has no state of DataFlex"),
    "no seal": (lambda c: (c / "dataflex" / "seal.json").unlink(), "is not complete"),
    "a torn seal": (lambda c: (c / "dataflex" / "seal.json").write_text("{"), "has an unreadable seal"),
    "a lost file": (lambda c: (c / "model.safetensors").unlink(), "has lost model.safetensors"),
    "a torn file": (lambda c: (c / "optimizer.pt").write_text("wh"), "has a torn optimizer.pt"),
}


@pytest.mark.parametrize("how", TORN)
def test_a_torn_checkpoint_is_passed_over_with_a_line(tmp_path, how):
    older, newer = _checkpoint(tmp_path / "checkpoint-9"), _checkpoint(tmp_path / "checkpoint-10")
    said: list[str] = []
    assert newest_complete(tmp_path, said.append) == newer
    tear, wrong = TORN[how]
    tear(newer)
    assert what_is_torn(newer) == wrong
    assert newest_complete(tmp_path, said.append) == older
    assert said == [f"{newer} {wrong}: passed over"]
    with pytest.raises(DataError, match=wrong):
        read_state(newer)


def _old_checkpoint(folder):
    """One whose state is of format 1, whole otherwise."""
    shutil.copytree(DATA / "checkpoint-1", _checkpoint(folder), dirs_exist_ok=True)
    seal(folder)
    return folder


@pytest.mark.parametrize("read", [read_state, stored_state])
def test_a_state_of_format_1_is_refused(tmp_path, read):
    old = _old_checkpoint(tmp_path / "checkpoint-8")
    with pytest.raises(DataError) as refused:
        read(old)
    assert refused.value.message == f"{old} {FORMAT_1}"
    assert refused.value.hint == "resume with the version that wrote it"


def test_a_checkpoint_of_format_1_is_passed_over_with_a_line(tmp_path):
    older, newer = _checkpoint(tmp_path / "checkpoint-7"), _old_checkpoint(tmp_path / "checkpoint-8")
    said: list[str] = []
    assert newest_complete(tmp_path, said.append) == older
    assert said == [f"{newer} {FORMAT_1}: passed over"]


def test_a_checkpoint_of_format_1_that_is_named_is_refused_before_the_data_loads(tmp_path):
    old = _old_checkpoint(tmp_path / "checkpoint-8")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"output_dir": str(tmp_path), "resume_from_checkpoint": str(old)}))
    with pytest.raises(InvalidConfig, match=FORMAT_1):
        resolved(load_config(path, Overrides(strategies={Kind.SELECTOR: "random"})), print)


@pytest.mark.parametrize(("written", "goes_on"), [(None, True), (True, True), (False, False), ("false", False)])
@pytest.mark.parametrize("strategies", [{}, {Kind.SELECTOR: "random"}], ids=["plain", "a selector"])
def test_false_begins_anew_where_there_are_checkpoints(tmp_path, written, goes_on, strategies):
    folder = _checkpoint(tmp_path / "checkpoint-1")
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"output_dir": str(tmp_path), "resume_from_checkpoint": written}))
    args = resolved(load_config(path, Overrides(strategies=strategies)), print).args
    if written is None and not strategies:
        assert args.get("overwrite_output_dir") is None, "LLaMA-Factory decides"
    else:
        assert args.get("resume_from_checkpoint") == (str(folder) if goes_on else None)
        assert (args.get("overwrite_output_dir") is True) == (not goes_on)


def test_a_checkpoint_without_an_optimizer_cannot_be_gone_on_from(tmp_path):
    folder = _checkpoint(tmp_path / "checkpoint-1")
    (folder / "optimizer.pt").unlink()
    seal(folder)
    assert what_is_torn(folder) == "has no optimizer state (save_only_model)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": object()}, "state.a is a object"),
        ({"a": {1: 2}}, "state.a has the key 1, which is no text"),
        ({"a": np.array([object()])}, "state.a is an array of objects"),
        ({"a": torch.zeros(1)}, "state.a is a Tensor"),
        ({"a": np.array(["text"])}, "state.a is an array of <U4"),
        ({"a": np.array([1j])}, "state.a is an array of complex128"),
        ({"a": np.zeros(1, dtype="M8[s]")}, "state.a is an array of datetime64"),
        ({"a": np.zeros(1, dtype=np.longdouble)}, "state.a is an array of float128"),
        ({"a": np.ma.MaskedArray([1.0, 2.0], mask=[0, 1])}, "state.a is a masked array"),
        ({"a": np.complex64(1)}, "state.a is a complex64"),
        ({"a": np.datetime64(1, "ns")}, "state.a is a datetime64"),
        ({"a": np.timedelta64(1, "s")}, "state.a is a timedelta64"),
        ({"a": np.longdouble(1)}, "state.a is a longdouble"),
        ({"a": np.bytes_(b"x")}, "state.a is a bytes_"),
        ({"a": {"$array": "x"}}, "state.a has the key '.array', which stands for arrays"),
    ],
)
def test_a_state_that_is_no_data_is_refused_and_nothing_written(tmp_path, value, said):
    with pytest.raises(StrategyFault, match=said):
        write_state(tmp_path, value)
    assert list(tmp_path.iterdir()) == []


CHANGES = {
    "strategies": (
        {},
        {"selector": "random"},
        (),
        "selector was dataflex-strategies/loss, is dataflex-strategies/random",
    ),
    "parameters": ({}, {"selector": "loss"}, ("selector.focus=low",), "selector.focus was high, is low"),
    "schedule": ({"max_steps": 12}, {"selector": "loss"}, (), "steps was 11, is 12"),
    "data": ({"eval_dataset": "held"}, {"selector": "loss"}, (), "target set numbers_held is gone"),
}
PLANNED_BY = {
    "exact: 0.5": "exact was not there, is 0.5",
    "exact_floor: 0.3": "exact_floor was not there, is 0.3",
    "spread: {repeats: 2}": "spread was not there, is .*'repeats': 2",
    "warmup_proportions: uniform": "warmup_proportions was not there, is uniform",
    "features: start": "features was not there, is start",
}


@pytest.fixture(scope="module")
def stopped(model, data, tmp_path_factory):
    """The output of a run of the selector `loss`, with its checkpoints."""
    return train(base_args(model, data, tmp_path_factory.mktemp("stopped"), **COMMON), selector="loss")


@pytest.mark.parametrize("part", CHANGES)
def test_another_run_is_refused_unless_allowed(model, data, stopped, tmp_path, part):
    output = shutil.copytree(stopped, tmp_path / "run")
    changes, strategies, settings, said = CHANGES[part]
    args = base_args(model, data, output, **COMMON | changes, resume_from_checkpoint=str(output / "checkpoint-6"))
    with pytest.raises(InvalidConfig, match=said) as caught:
        train(args, settings=settings, **strategies)
    assert f"--allow-changed {part}" in str(caught.value.hint)
    events: list[dict] = []
    train({**args, "dataflex": {"allow_changed": [part]}}, events=events, settings=settings, **strategies)
    assert of_kind(events, "end")[0]["step"] == args["max_steps"]
    assert len(of_kind(events, "step")) == args["max_steps"]
    (resume,) = of_kind(events, "resume")
    assert any(re.search(said, text) for text in resume["changed"]) == (part != "data")
    assert (resume["strategies"] is not None) == (part in ("strategies", "parameters"))
    for kind, name in strategies.items() if resume["strategies"] else ():
        assert (kind, name) in [(fact["kind"], fact["name"]) for fact in resume["strategies"]]


def test_a_weighter_that_is_new_is_prepared_in_the_middle_of_an_interval(model, data, tmp_path):
    output = train(base_args(model, data, tmp_path / "run", **COMMON), selector="loss", weighter="loss")
    args = base_args(model, data, output, **COMMON, resume_from_checkpoint=str(output / "checkpoint-6"))
    events: list[dict] = []
    train({**args, "dataflex": {"allow_changed": ["strategies"]}}, events=events, selector="loss", weighter="adapt")
    assert of_kind(events, "end")[0]["step"] == args["max_steps"]
    assert 6 not in [event["step"] for event in of_kind(events, "decision")], "the plan in force stays"


@pytest.mark.parametrize("setting", PLANNED_BY)
def test_whatever_plans_hang_on_is_not_changed_unnoticed(model, data, stopped, tmp_path, setting):
    output = shutil.copytree(stopped, tmp_path / "run")
    args = base_args(model, data, output, **COMMON, resume_from_checkpoint=str(output / "checkpoint-6"))
    with pytest.raises(InvalidConfig, match=PLANNED_BY[setting]) as caught:
        train({**args, "dataflex": yaml.safe_load(setting)}, selector="loss")
    assert "--allow-changed schedule" in str(caught.value.hint)


PLANNED_ANEW = {
    "half the batch": ("schedule", {"selector": "loss"}, {}, {"selector": "loss"}, {"per_device_train_batch_size": 2}),
    "twice the batch": ("schedule", {"selector": "loss"}, {}, {"selector": "loss"}, {"per_device_train_batch_size": 8}),
    "a selector is added": (
        "strategies, schedule",
        {"weighter": "loss"},
        {"dataset": "words", "eval_dataset": None},
        {"selector": "random", "weighter": "loss"},
        {"dataset": "words", "eval_dataset": None},
    ),
    "a domain is added": (
        "data",
        {"mixer": "odm"},
        {},
        {"mixer": "odm"},
        {"dataset": "words,numbers,numbers_held", "eval_dataset": None},
    ),
    "a pool that is ordered grows": (
        "data, schedule",
        {"selector": "curriculum"},
        {"dataset": "words"},
        {"selector": "curriculum"},
        {"dataset": "words,numbers"},
    ),
}


@pytest.mark.parametrize("case", PLANNED_ANEW)
def test_what_no_plan_fits_any_more_is_decided_anew(model, data, tmp_path, case):
    """In the middle of an interval: the next step begins another one, and the run trains to its end."""
    part, first, before, then, after = PLANNED_ANEW[case]
    output = train(base_args(model, data, tmp_path / "run", **COMMON | before), **first)
    events: list[dict] = []
    changes = {"resume_from_checkpoint": str(output / "checkpoint-6"), "dataflex": {"allow_changed": part.split(", ")}}
    args = base_args(model, data, output, **COMMON | after | changes)
    train(args, events=events, **then)
    steps = [event for event in of_kind(events, "step") if event["step"] > 6]
    assert [event["step"] for event in steps] == list(range(7, args["max_steps"] + 1))
    batch = args["per_device_train_batch_size"] * args.get("gradient_accumulation_steps", 1)
    assert {len(event["samples"]) for event in steps} == {batch}
    assert 6 in [event["step"] for event in of_kind(events, "decision")]
    told = [event["text"] for event in of_kind(events, "notice")]
    assert any("strategies begin anew" in text for text in told) == ("data" in part)
