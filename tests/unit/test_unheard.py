"""What is asked for and done otherwise is refused, or remarked on: never passed over."""

from __future__ import annotations

import json

import pytest

from dataflex_core.config.section import DataflexConfig, RunConfig, StrategyChoice
from dataflex_core.llamafactory import unheard
from dataflex_core.llamafactory.unheard import check_asked, remarks

ONE = StrategyChoice(name="mine")
KINDS = {"selector": {"selector": ONE}, "mixer": {"mixer": ONE}, "weighter": {"weighter": (ONE,)}}


def _config(args, kind="selector", **section):
    return RunConfig(args=args, dataflex=DataflexConfig(**(KINDS[kind] if kind else {}), **section))


def _told(found):
    return [(".".join(map(str, each.key)), each.message) for each in found]


ORDER = {
    "mix_strategy": "interleave_under",
    "interleave_probs": "0.5,0.5",
    "disable_shuffling": True,
    "train_sampling_strategy": "group_by_length",
    "group_by_length": True,
    "sortish_sampler": True,
    "length_column_name": "size",
    "dataloader_drop_last": True,
    "dataloader_persistent_workers": True,
    "ignore_data_skip": True,
    "accelerator_config": {"even_batches": False},
}


@pytest.mark.parametrize("kind", ["selector", "mixer"])
@pytest.mark.parametrize("key", ORDER)
def test_a_key_that_a_plan_takes_over(kind, key):
    ((told, message),) = _told(remarks(_config({key: ORDER[key]}, kind)))
    assert told == key
    assert f" has no effect beside a {kind}: " in message
    assert _told(remarks(_config({key: ORDER[key]}, "weighter"))) == []
    assert _told(remarks(_config({key: ORDER[key]}, None))) == []


@pytest.mark.parametrize(
    "args",
    [
        {"mix_strategy": "concat", "interleave_probs": None, "disable_shuffling": "false"},
        {"train_sampling_strategy": "random", "dataloader_drop_last": False, "length_column_name": "length"},
        {"accelerator_config": {"non_blocking": True}, "report_to": "none"},
    ],
)
def test_what_asks_for_nothing_is_no_remark(args):
    assert _told(remarks(_config(args))) == []


@pytest.mark.parametrize(
    ("kind", "section", "told"),
    [
        ("mixer", {"candidates": 2.0}, ["dataflex.candidates"]),
        ("mixer", {"selection_budget": 1.0}, ["dataflex.selection_budget"]),
        ("weighter", {"targets": ("held",)}, ["dataflex.targets"]),
        ("weighter", {"exhaustion": "error", "warmup_proportions": "uniform"}, 2),
        ("selector", {"candidates": 2.0, "exhaustion": "error", "warmup_proportions": "uniform"}, []),
    ],
)
def test_a_key_of_ours_without_its_strategy(kind, section, told):
    keys = [key for key, _ in _told(remarks(_config({}, kind, **section)))]
    assert keys == told or len(keys) == told


@pytest.mark.parametrize(
    ("args", "section", "keys"),
    [
        ({"max_steps": 30}, {"updates": 2}, []),
        ({"max_steps": 40}, {"updates": 2}, ["max_steps"]),
        ({"num_train_epochs": 3}, {"updates": 2}, ["num_train_epochs"]),
        ({"num_train_epochs": 3, "max_steps": -1}, {}, []),
        ({"num_train_epochs": 3, "max_steps": 20}, {}, ["num_train_epochs"]),
        ({"warmup_steps": 20, "max_steps": 20}, {}, ["warmup_steps"]),
        ({"warmup_steps": 0.1, "max_steps": 20}, {}, []),
        ({"warmup_steps": 30}, {"updates": 2}, ["warmup_steps"]),
    ],
)
def test_steps_and_a_learning_rate_that_are_not_reached(args, section, keys):
    assert [key for key, _ in _told(remarks(_config(args, **section)))] == keys


def test_a_target_set_that_is_trained_on_by_name_or_by_its_samples(tmp_path):
    index = {
        "a": {"file_name": "a.json"},
        "again": {"file_name": "a.json", "columns": {"prompt": "q"}},
        "part": {"file_name": "a.json", "split": "test"},
        "hub": {"hf_hub_url": "x/y", "subset": "s"},
        "hub2": {"hf_hub_url": "x/y", "subset": "t"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(index))

    def told(dataset, eval_dataset):
        args = {"dataset": dataset, "eval_dataset": eval_dataset, "dataset_dir": str(tmp_path)}
        return [message for _, message in _told(remarks(_config(args)))]

    assert told("a,hub", ["a"]) == ["eval_dataset a is also trained on"]
    assert told("a,hub", "again") == ["eval_dataset again is also trained on as a"]
    assert told("a,hub", "part,hub2") == []


def test_flash_attention_and_trackers_that_are_not_there(monkeypatch):
    monkeypatch.setattr("dataflex_core.packages.find_spec", lambda name: None)

    def version(name):
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)

    monkeypatch.setattr("dataflex_core.packages.version", version)
    found = list(remarks(_config({"flash_attn": "fa2", "report_to": "all"})))
    assert [each.hint for each in found] == ["pip install flash-attn", "pip install tensorboard, or another one"]
    monkeypatch.setattr("dataflex_core.packages.version", lambda name: "99")
    assert list(remarks(_config({"flash_attn": "fa2", "report_to": ["all"]}))) == []


@pytest.mark.parametrize(("kind", "refused"), [("selector", 2), ("mixer", 2), ("weighter", 0), (None, 0)])
def test_data_sets_named_twice_would_be_one_in_a_plan(kind, refused):
    found = _told(check_asked(_config({"dataset": ["a", "b", "a"], "eval_dataset": "c,c , d"}, kind)))
    messages = ["dataset names a 2 times", "eval_dataset names c 2 times"]
    assert [message for _, message in found] == messages[:refused]


def test_every_key_that_goes_unheard_is_tried():
    assert unheard._UNHEARD.keys() <= ORDER.keys()
