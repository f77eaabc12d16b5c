"""compat: what a configuration of DataFlex 1.x becomes. The arithmetic is 1.1.0's own."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflex_core.catalog import discover
from dataflex_core.compat import translate
from dataflex_core.compat.components import is_of_old
from dataflex_core.compat.keys import NAMES
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.config.section import RunConfig, StrategyChoice
from dataflex_core.errors import InvalidConfig, UnknownStrategy
from dataflex_core.planning.schedule import total_steps
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind

OLD = Path(__file__).parents[1] / "old"
SELECT = {"train_type": "dynamic_select", "component_name": "random", "warmup_step": 3, "update_step": 4}
MIX = {"train_type": "dynamic_mix", "component_name": "random", "warmup_step": 3, "update_step": 4, "dataset": "a, b"}
REORDER = {**SELECT, "train_type": "dynamic_reorder", "component_name": "sorting"}
WEIGHT = {"train_type": "dynamic_weight", "component_name": "loss", "warmup_step": 3}
ONCE = {"num_train_epochs": 1}
FULL = {"finetuning_type": "full"}


def spelt(args, section=(), *, strategies=(), components=None):
    """The translation of ``args``, with ``components`` as what every components file holds."""
    held = None if components is None else ("components.yaml", components)
    return translate(args, dict(section), strategies=dict(strategies), components=lambda name: held)


def refused(args, *rest, **options):
    """The one line with which ``args`` are refused."""
    with pytest.raises(InvalidConfig) as caught:
        spelt(args, *rest, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------------ steps

# What the file says beside the kind's own keys; LLaMA-Factory's max_steps, and the schedule.
SCHEDULES = {
    "select, one stage": (SELECT, {**ONCE, "update_times": 2}, None, (3, 4, 2)),
    "select, update_times left out": (SELECT, ONCE, None, (3, 4, 1)),
    "select, stages": (SELECT, {"num_train_epochs": 3.0, "update_times": 2}, 33, (3, 4, None)),
    "select, transformers' own epochs": (SELECT, {"update_times": 2}, 33, (3, 4, None)),
    "select, part of a stage": (SELECT, {"num_train_epochs": 0.5, "update_times": 2}, 6, (3, 4, None)),
    "select, train_step": (SELECT, {"num_train_epochs": 3, "update_times": 2, "train_step": 20}, 20, (3, 4, None)),
    "select, train_step of one stage": (SELECT, {"update_times": 2, "train_step": 11}, None, (3, 4, 2)),
    "select, without end": (SELECT, {"num_train_epochs": 2, "update_times": -1}, None, (3, 4, None)),
    "select, without end, train_step": (SELECT, {"update_times": -1, "train_step": 9}, 9, (3, 4, None)),
    "select, max_steps": (SELECT, {**ONCE, "update_times": 2, "max_steps": 5}, None, (3, 4, 2)),
    "mix": (MIX, {**ONCE, "update_times": 2}, None, (3, 4, 2)),
    "mix, epochs": (MIX, {"num_train_epochs": 3, "update_times": 2}, None, (3, 4, 2)),
    "mix, train_step": (MIX, {"update_times": 2, "train_step": 20}, 20, (3, 4, None)),
    "mix, without end": (MIX, {"update_times": -1, "max_steps": 5}, None, (3, 4, None)),
    "static mix": (MIX, {"static_mix": True}, None, (0, None, None)),
    "static mix, train_step": (MIX, {"static_mix": True, "train_step": 20}, 20, (0, None, None)),
    "weight": (WEIGHT, {"num_train_epochs": 3}, None, (3, None, None)),
    "weight, train_step": (WEIGHT, {"train_step": 20}, 20, (3, None, None)),
    "weight, max_steps": (WEIGHT, {"max_steps": 5}, 5, (3, None, None)),
    "static": ({"train_type": "static"}, {"max_steps": 5, "train_step": 20}, 5, (None, None, None)),
}


@pytest.mark.parametrize(("base", "more", "max_steps", "schedule"), SCHEDULES.values(), ids=SCHEDULES)
def test_the_schedule(base, more, max_steps, schedule):
    made = spelt({**base, **more})
    assert made.args.get("max_steps") == max_steps
    assert tuple(made.section.get(key) for key in ("warmup_steps", "update_steps", "updates")) == schedule


def steps_of_1_1_0(old, epochs, pool, batch):
    """What 1.1.0's select and mix trainers publish as max_steps."""
    stage = old["warmup_step"] + old["update_step"] * old["update_times"]
    if old["train_step"] > 0:
        return old["train_step"]
    if old["train_type"] == "dynamic_select":
        return math.ceil(epochs * (stage if old["update_times"] > 0 else math.ceil(pool / batch)))
    return int(epochs * max(1, pool // batch)) if old["update_times"] < 0 else stage


@given(
    kind=st.sampled_from(["dynamic_select", "dynamic_mix"]),
    warmup=st.integers(0, 9),
    update=st.integers(1, 9),
    times=st.integers(-1, 5).filter(bool),
    train=st.integers(0, 40),
    epochs=st.sampled_from([0.5, 1, 1.0, 2.5, 3]),
    passes=st.integers(1, 12),
)
def test_a_run_has_as_many_steps_as_in_1x(kind, warmup, update, times, train, epochs, passes):
    old = {"train_type": kind, "component_name": "random", "warmup_step": warmup, "update_step": update}
    old |= {"update_times": times, "train_step": train}
    made = spelt({**old, "num_train_epochs": epochs, "dataset": "a,b"})
    steps = total_steps(
        warmup_steps=made.section["warmup_steps"],
        update_steps=made.section["update_steps"],
        updates=made.section.get("updates"),
        max_steps=made.args.get("max_steps", -1),
        epochs=epochs,
        steps_per_epoch=passes,
    )
    expected = steps_of_1_1_0(old, epochs, pool=8 * passes, batch=8)
    # Half an epoch of a mixer is rounded up here, down there.
    assert steps - expected in ({0, 1} if kind == "dynamic_mix" and times < 0 and not train else {0})


# --------------------------------------------------------------------------------------------------------- mixtures

HALVES = {"init_mixture_proportions": [0.75, 0.25]}
MIXTURES = {
    "given": ({**HALVES, "mixture_sample_rule": "mixture"}, {"a": 0.75, "b": 0.25}, None),
    "given without a rule": (HALVES, {"a": 0.75, "b": 0.25}, None),
    "nothing": ({}, "uniform", None),
    "by size": ({**HALVES, "mixture_sample_rule": "stratified"}, "size", {"name": "temperature", "temperature": 1.0}),
    "equal": (
        {**HALVES, "mixture_sample_rule": "uniform"},
        "uniform",
        {"name": "static", "proportions": {"a": 1.0, "b": 1.0}},
    ),
}


@pytest.mark.parametrize(("written", "warmup", "fixed"), MIXTURES.values(), ids=MIXTURES)
def test_a_mixture(written, warmup, fixed):
    made = spelt({**MIX, **written})
    assert made.section["warmup_proportions"] == warmup
    assert made.section["mixer"] == (fixed or {"name": "random"})


@pytest.mark.parametrize(("written", "warmup", "fixed"), MIXTURES.values(), ids=MIXTURES)
def test_a_static_mixture_keeps_to_its_proportions(written, warmup, fixed):
    section = spelt({**MIX, **written, "static_mix": True, "component_name": "doremi"}).section
    shares = {"a": 1.0, "b": 1.0} if warmup == "uniform" else warmup
    assert section == {"warmup_steps": 0, "mixer": fixed or {"name": "static", "proportions": shares}}


# ------------------------------------------------------------------------------------------------------- components

COMPONENTS = {
    "less": (SELECT, "less", {"gradient_type": "sgd", "proj_dim": 4096, "cache_dir": "x", "save_interval": 16},
             {"name": "less", "gradient": "sgd"}, ["cache_dir", "proj_dim", "save_interval"]),
    "loss": (SELECT, "loss", {"focus": "low", "focus_weight": 2.0, "temperature": 0.5, "quantiles": [0.2, 0.8]},
             {"name": "loss", "focus": "low", "boost": 2.0, "temperature": 0.5}, ["quantiles"]),
    "loss as it is": (SELECT, "loss", {"replacement": False, "quantiles": [0.33, 0.66]}, {"name": "loss"}, []),
    "random": (SELECT, "random", {"seed": 1, "replacement": True}, {"name": "random"}, ["replacement", "seed"]),
    "no parameters": (SELECT, "random", None, {"name": "random"}, []),
    "random mixer": (MIX, "random", {"seed": 1}, {"name": "random"}, ["seed"]),
    "static mixer": (MIX, "static", {"proportions": [1, 3]}, {"name": "static", "proportions": [1, 3]}, []),
    "static mixer, equal": (MIX, "static", {"proportions": None},
                            {"name": "static", "proportions": {"a": 1.0, "b": 1.0}}, []),
    "doremi": (MIX, "doremi", {"reference_model_path": "ref", "reweight_eta": 0.1, "reweight_eps": 0.01},
               {"name": "doremi", "reference_model": "ref", "eta": 0.1, "smoothing": 0.01}, ["mixer"]),
    "doremi without a reference": (MIX, "doremi", {"reference_model_path": None}, {"name": "doremi"},
                                   ["mixer", "reference_model_path"]),
    "odm": (MIX, "odm", {"alpha": 0.8, "warmup_steps": 10, "num_eval_samples": 5, "reward_scale": 15.0},
            {"name": "odm", "alpha": 0.8}, ["mixer", "num_eval_samples", "reward_scale", "warmup_steps"]),
    "odm as it came": (MIX, "odm", {"alpha": 0.9, "warmup_steps": 2000, "reward_scale": 15.0,
                                    "min_exploration_rate": 0.03, "initial_proportions": [0.5, 0.5]},
                       {"name": "odm", "alpha": 0.9},
                       ["initial_proportions", "min_exploration_rate", "mixer", "reward_scale", "warmup_steps"]),
    "dynamic_moe": (MIX, "dynamic_moe", {"eta": 5.0, "c": 0.1, "collect_steps": 5, "eval_samples": 1000},
                    {"name": "dynamic-moe", "eta": 5.0, "smoothing": 0.1, "probe": 160}, ["mixer"]),
    "weighter": (WEIGHT, "loss", {"strategy": "extremes", "delta": 2.0},
                 {"name": "loss", "strategy": "extremes", "delta": 2.0}, []),
    "weighter, uniform": (WEIGHT, "loss", {"strategy": "uniform", "delta": 1.0}, {"name": "uniform"}, ["strategy"]),
    "adapt": (WEIGHT, "adapt", {"tau": 0.5, "refresh_interval": 20, "anchor_batch_size": 8, "clip": None},
              {"name": "adapt", "tau": 0.5, "clip": None}, ["anchor_batch_size", "weighter"]),
    "joint": (WEIGHT, "joint_update_aware",
              {"damping": 1.0, "fixed_point_iters": 5, "pooling": "last_token", "embed_layer": -1,
               "objective_mode": "full"},
              {"name": "joint-update", "rho": 1.0, "iterations": 5, "objective": "full"}, ["pooling", "weighter"]),
    "joint, uniform": (WEIGHT, "joint_update_aware", {"objective_mode": "uniform"}, {"name": "uniform"},
                       ["objective_mode", "pooling", "weighter"]),
    "delta_loss": (SELECT, "delta_loss", {"window_size": 0.3, "cache_dir": "x", "score_batch_size": 8},
                   {"name": "delta-loss", "share": 0.3}, ["cache_dir", "score_batch_size", "selector"]),
    "near": (SELECT, "near", {"indices_path": "top.npy"}, {"name": "near", "from_file": "top.npy"}, []),
    "tsds": (SELECT, "tsds", {"probs_path": "p.npy"}, {"name": "tsds", "from_file": "p.npy"}, []),
    "of somebody else": (SELECT, "zeroth", {"window_size": 0.2, "cache_dir": "x"},
                         {"name": "zeroth", "window_size": 0.2}, ["cache_dir"]),
    "cluster_less": (SELECT, "cluster_less",
                     {"gradient_type": "sgd", "cluster_size": 8, "clustering_method": "lsh", "embedding_layer": 4,
                      "embedding_model_name_or_path": "encoder", "embedding_model_dtype": "auto", "num_clusters": None,
                      "clustering_max_iter": 20, "seed": 42},
                     {"name": "cluster-less", "gradient": "sgd", "cluster_size": 8, "samples_per_cluster": 3,
                      "layer": 4, "embedding_model": "encoder"},
                     ["clustering_method", "representative_strategy", "seed"]),
    "icons": (SELECT, "icons", {"gradient_type": "adam", "proj_dim": 4096, "seed": 1, "task_boundaries": None},
              {"name": "icons", "gradient": "adam"}, ["proj_dim", "seed"]),
    "nice": (SELECT, "nice", {"gradient_type": "adam", "max_prompt_length": 9},
             {"name": "nice", "gradient": "adam", "mc_samples": 4, "max_new_tokens": 512, "temperature": 0.7},
             ["max_prompt_length", "reward"]),
    "nice with a reward": (SELECT, "nice", {"reward": "rouge-l", "reward_model_path": "m", "mc_samples": 8},
                           {"name": "nice", "reward": "rouge-l", "mc_samples": 8, "max_new_tokens": 512,
                            "temperature": 0.7}, ["reward_model_path"]),
}  # fmt: skip


@pytest.mark.parametrize(("base", "name", "params", "strategy", "told"), COMPONENTS.values(), ids=COMPONENTS)
def test_a_component(base, name, params, strategy, told):
    kind = {"dynamic_select": "selector", "dynamic_mix": "mixer", "dynamic_weight": "weighter"}[base["train_type"]]
    held = {f"{kind}s": {name: {"name": name, "params": params}}}
    made = spelt({**base, **ONCE, "component_name": name}, components=held)
    assert made.section[kind] == strategy
    assert sorted(line.split()[0] for line in made.notices if " of " in line) == told


@pytest.mark.parametrize(("key", "inside", "is_taken"), [("loss", "delta_loss", "loss"), ("mine", "loss", "loss")])
def test_a_component_goes_by_its_key_where_1x_has_one_of_that_name(key, inside, is_taken):
    held = {"selectors": {key: {"name": inside, "params": {"focus": "low"}}}}
    made = spelt({**SELECT, **ONCE, "component_name": key}, components=held)
    assert made.section["selector"]["name"] == is_taken


@pytest.mark.parametrize(("name", "key"), [("adapt", "refresh_interval"), ("joint_update_aware", "target_update_step")])
def test_how_often_a_target_set_is_looked_at_is_the_intervals_length(name, key):
    held = {"weighters": {name: {"name": name, "params": {key: 20}}}}
    assert spelt({**WEIGHT, "component_name": name}, components=held).section["update_steps"] == 20


def test_what_a_file_leaves_out_is_what_1x_takes():
    held = {"weighters": {"joint_update_aware": {}, "adapt": {}}}
    made = spelt({**WEIGHT, "component_name": "joint_update_aware"}, components=held)
    assert made.section["weighter"] == {"name": "joint-update", "iterations": 5, "rho": 1.0}
    assert made.section["update_steps"] == 50
    assert any(line.startswith("pooling of weighter joint_update_aware: without effect") for line in made.notices)
    assert spelt({**WEIGHT, "component_name": "adapt"}, components=held).section["update_steps"] == 50


@pytest.mark.parametrize(
    ("base", "name", "strategy"),
    [
        (SELECT, "loss", {"name": "loss", "focus": "medium"}),
        (SELECT, "less", {"name": "less", "gradient": "adam"}),
        (SELECT, "delta_loss", {"name": "delta-loss", "share": 0.2}),
        (SELECT, "near", {"name": "near", "from_file": "./src/dataflex/offline_selector/top_indices.npy"}),
        (REORDER, "zigzag", {"name": "curriculum", "column": "score", "pattern": "zigzag", "cycles": 3}),
        (SELECT, "cluster_less", {"name": "cluster-less", "gradient": "adam", "samples_per_cluster": 4}),
        (SELECT, "icons", {"name": "icons", "gradient": "adam"}),
        (MIX, "static", {"name": "static", "proportions": [0.5, 0.5]}),
        (MIX, "doremi", {"name": "doremi", "eta": 0.1, "smoothing": 0.01}),
        (WEIGHT, "loss", {"name": "loss", "strategy": "linupper", "delta": 1.0}),
    ],
)
def test_the_file_that_came_with_1x_need_not_be_there(base, name, strategy):
    args = {**base, **ONCE, "component_name": name, "components_cfg_file": "src/dataflex/configs/components.yaml"}
    made = spelt(args)
    assert strategy in made.section.values()
    assert any("src/dataflex/configs/components.yaml does not exist" in line for line in made.notices)


@pytest.mark.parametrize("given", ["backend", "params", "path"])
def test_a_nice_that_names_a_model_for_rewards_is_refused_unless_a_reward_is_given(given):
    key = {"backend": "reward_model_backend", "params": "reward_backend_params", "path": "reward_model_path"}[given]
    held = {"selectors": {"nice": {"params": {key: "x"}}}}
    args = {**SELECT, **ONCE, "component_name": "nice"}
    assert f"selector nice of DataFlex 1.x has {key}" in refused(args, components=held)
    made = spelt(args, {"selector": {"reward": "rouge-l"}}, components=held)
    assert made.section["selector"]["reward"] == "rouge-l"
    assert any(line.startswith(f"{key} of selector nice: without effect") for line in made.notices)


def test_a_reward_that_is_set_beside_the_file_counts(old):
    config = old("select_loss", "component_name=nice", parameter_words=("selector.reward=rouge-l",))
    assert config.dataflex.selector.params["reward"] == "rouge-l"
    with pytest.raises(InvalidConfig, match="has reward_model_backend"):
        old("select_loss", "component_name=nice")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("name", ["custom", "nice", "delta_loss", "doremi", "odm", "joint_update_aware"])
def test_names_of_1x_are_known_in_either_spelling(kind, name):
    assert is_of_old(kind, name) == is_of_old(kind, name.replace("_", "-"))
    assert any(is_of_old(each, name) for each in Kind)


STATIC, DYNAMIC = {"kind": "static"}, {"kind": "dynamic"}
REORDERS = {
    "sorting": ({**STATIC, "pattern": "sorting", "ascending": True, "apply_at": "raw", "window_size": 0},
                {"column": "score", "pattern": "sort"}, []),
    "the other way": ({**STATIC, "polarity": "higher_earlier", "window_size": 50,
                       "score_params": {"score_field": "ppl"}},
                      {"column": "ppl", "pattern": "sort", "hardest_first": True, "window": 50}, []),
    "and back": ({**STATIC, "polarity": "lower_is_better", "ascending": False},
                 {"column": "score", "pattern": "sort"}, []),
    "shuffle": ({**STATIC, "pattern": "shuffle", "seed": 42}, {"score": "length", "pattern": "shuffle"}, ["seed"]),
    "folding": ({**STATIC, "pattern": "folding"}, {"column": "score", "pattern": "fold", "cycles": 5}, []),
    "zigzag": ({**STATIC, "pattern": "zigzag", "pattern_params": {"zigzag_layer": 3}},
               {"column": "score", "pattern": "zigzag", "cycles": 3}, []),
    "segment": ({**STATIC, "pattern": "segment", "pattern_params": {"x_pct": 5}},
                {"column": "score", "pattern": "segment", "low": 0.05, "high": 0.1}, ["segment:"]),
    "segment, high first": ({**STATIC, "pattern": "segment", "front_is_high": True, "back_is_high": False},
                            {"column": "score", "pattern": "segment", "low": 0.1, "high": 0.1, "hardest_first": True},
                            ["segment, high first:"]),
    "stair": ({**STATIC, "pattern": "stair", "pattern_params": {"folding_ratio": 0.2, "layers": 3}},
              {"column": "score", "pattern": "stair", "cycles": 3, "sections": 2, "rho": 0.2}, []),
    "dynamic saw": ({**DYNAMIC, "pattern": "saw", "polarity": "higher_later", "num_sections": 3, "folding_ratio": 0.1,
                     "score_params": {"batch_size": 8}, "reorder_every": 1, "consume_once": True},
                    {"score": "loss", "pattern": "saw", "cycles": 2, "sections": 3, "rho": 0.1, "refresh": True},
                    ["batch_size", "dynamic saw:"]),
    "nothing said": ({**STATIC, "pattern": "stair", "num_sections": None, "x_pct": None, "window_size": None,
                      "folding_ratio": None, "layers": None, "score_params": None, "ascending": None},
                     {"column": "score", "pattern": "stair", "cycles": 2, "sections": 2, "rho": 0.0}, []),
    "dynamic": ({}, {"score": "loss", "pattern": "sort", "hardest_first": True, "refresh": True}, ["dynamic:"]),
}  # fmt: skip


@pytest.mark.parametrize(("params", "strategy", "told"), list(REORDERS.values()), ids=REORDERS)
@pytest.mark.parametrize("bucket", ["reorders", "reorderers"])
def test_a_reorder_is_a_curriculum(params, strategy, told, bucket, request):
    name = request.node.callspec.id.split("-")[-1]
    held = {bucket: {name: {"name": name, "params": params}}}
    made = spelt({**REORDER, **ONCE, "component_name": name}, components=held)
    column = strategy.get("column")
    assert made.section == {
        # An order that is made once begins with the first step, as the warm-up does in 1.x.
        **({"warmup_steps": 3, "update_steps": 4, "updates": 1} if "refresh" in strategy else {}),
        **({"warmup_steps": 0, "update_steps": 4} if "refresh" not in strategy else {}),
        **({"columns": [column]} if column else {}),
        "selector": {"name": "curriculum", **strategy},
    }
    assert made.args.get("max_steps") == (None if "refresh" in strategy else 7)
    said = [line.removeprefix("reorder ") for line in made.notices]
    assert len(said) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(said, told, strict=True))


def test_a_reorder_gives_way_to_what_is_asked_for_in_todays_keys():
    made = spelt({**REORDER, **ONCE}, strategies={Kind.SELECTOR: "random"}, components={})
    assert made.section == {"warmup_steps": 3, "update_steps": 4, "updates": 1}
    made = spelt(
        {**REORDER, **ONCE},
        {"selector": {"name": "curriculum", "window": 9}},
        components={"reorders": {"sorting": {"params": {"pattern": "sorting", "kind": "static"}}}},
    )
    assert made.section["selector"] == {"name": "curriculum", "column": "score", "pattern": "sort", "window": 9}


# ------------------------------------------------------------------------------------------- what is said and refused

SAID = {
    "an old key without meaning": (
        {**SELECT, **ONCE, "static_mix": True},
        "static_mix: without effect with train_type",
    ),
    "a static run": ({"train_type": "static", "warmup_step": 3}, "warmup_step: without effect with train_type static"),
    "a static mixture": ({**MIX, "static_mix": True}, "component_name, warmup_step, update_step: without effect"),
    "a rule that fixes": ({**MIX, **ONCE, "mixture_sample_rule": "stratified"}, "component_name is without effect"),
    "max_steps": ({**SELECT, **ONCE, "max_steps": 5}, "max_steps: without effect with dynamic_select"),
    "other windows": ({**SELECT, **ONCE, "component_name": "delta_loss"}, "window at t/T; in 1.x at t/(T - 1)"),
    "no repeats": ({**SELECT, **ONCE, "component_name": "near"}, "what was chosen goes last at later decisions"),
    "stages": (SELECT, "the 21 steps are 1.x's stages of 7"),
    "passes": ({**MIX, "update_times": -1}, "update_times -1: the run ends after num_train_epochs passes"),
    "epochs of a mixer": ({**MIX, "num_train_epochs": 2}, "num_train_epochs: without effect"),
    "frozen gates": ({**MIX, **ONCE, "freeze_gate": True, **FULL}, "freeze_gate: without effect, gates train like all"),
    "frozen gates, all adapters": ({**MIX, **ONCE, "freeze_gate": True}, "freeze_gate: without effect, gates train"),
    "frozen gates elsewhere": ({**SELECT, **ONCE, "freeze_gate": True}, "freeze_gate: without effect with train_type"),
    "early stopping": ({**SELECT, **ONCE, "early_stopping_min_delta": 0.1}, "early_stopping_min_delta: "),
}


@pytest.mark.parametrize(("args", "line"), SAID.values(), ids=SAID)
def test_what_is_not_as_it_was_is_said_in_a_line_each(args, line):
    notices = spelt(args).notices
    assert sum(line in notice for notice in notices) == 1
    assert not any("\n" in notice for notice in notices)


@pytest.mark.parametrize(("target", "told"), [("q_proj,v_proj", False), ("q_proj,gate_proj", True), ("all", True)])
def test_gates_that_no_adapter_trains_are_as_frozen_as_in_1x(target, told):
    made = spelt({**MIX, **ONCE, "freeze_gate": True, "finetuning_type": "lora", "lora_target": target})
    assert any("freeze_gate" in line for line in made.notices) is told


@pytest.mark.parametrize("args", [{}, {"learning_rate": 1e-3, "warmup_steps": 3, "max_steps": 5}])
def test_other_configurations_are_left_alone(args):
    made = spelt(args, {"update_steps": 3}, strategies={Kind.SELECTOR: "less"})
    assert (made.args, made.section, made.notices) == (args, {"update_steps": 3}, ())


REFUSED = {
    "an unknown train_type": ({"train_type": "dynamic_selct"}, "did you mean 'dynamic_select'?"),
    "steps that are words": ({**SELECT, "warmup_step": "many"}, "warmup_step='many': "),
    "steps below zero": ({**SELECT, "update_step": -1}, "update_step=-1: "),
    "a rule of no mixture": ({**MIX, "mixture_sample_rule": "fixed"}, "mixture_sample_rule='fixed': "),
    "no interval": ({**SELECT, "update_step": 0}, "dynamic_select needs update_step"),
    "no decision": ({**MIX, "update_times": 0}, "leaves dynamic_mix no decision"),
    "no component": ({**SELECT, "component_name": None}, "dynamic_select needs component_name"),
    "proportions of other data": ({**MIX, "init_mixture_proportions": [1]}, "1 shares for 2 data sets"),
    "epochs that are words": ({**SELECT, "num_train_epochs": "few"}, "'few' is no number"),
    "tasks within a data set": (
        {**SELECT, "component_name": "icons"},
        "task_boundaries [3, 4] within one data set",
    ),
    "no components file": ({**SELECT, "components_cfg_file": "mine.yaml"}, "components_cfg_file mine.yaml does not"),
}


SHIPPED = {**REORDER, **ONCE, "components_cfg_file": "src/dataflex/configs/components.yaml"}
REFUSED |= {
    "a part of the scores": ({**SHIPPED, "component_name": "dynamic_saw"}, "max_samples scores a part of the pool"),
    "a part, folded": ({**SHIPPED, "component_name": "dynamic_folding"}, "leave it out: all that is left is scored"),
    "a selector's scores": ({**SHIPPED, "component_name": "reuse_selector_scores"}, "cached_selection reads what"),
    "an unknown reorder": ({**SHIPPED, "component_name": "saws", "components_cfg_file": "mine.yaml"}, "does not exist"),
}
REFUSED_REORDERS = {
    "a file of scores": ({"score_params": {"score_path": "x.npy"}, **STATIC}, "put the scores into the data"),
    "now and then": ({**DYNAMIC, "reorder_every": 2}, "reorder_every 2 has no counterpart"),
    "repeats": ({**DYNAMIC, "consume_once": False}, "consume_once false has no counterpart"),
    "both ends": ({**STATIC, "pattern": "segment", "front_is_high": True}, "both ends are high"),
    "no kind": ({"kind": "online"}, "kind 'online'"),
    "no pattern": ({**STATIC, "pattern": "sort"}, "pattern 'sort' (did you mean 'sorting'?"),
    "no parameter": ({**STATIC, "windw_size": 3}, "has no windw_size (did you mean 'window_size'?"),
    "no section": ({**STATIC, "pattern_params": 3}, "pattern_params is no section"),
    "words for a number": ({**STATIC, "window_size": "abc"}, "reorder sorting: window_size='abc': "),
    "less than nothing": ({**STATIC, "window_size": -5}, "reorder sorting: window_size=-5: "),
    "a list for a share": ({**STATIC, "pattern": "segment", "x_pct": [5]}, "reorder sorting: x_pct=[5]: "),
    "more than all": ({**STATIC, "pattern": "segment", "x_pct": 80, "y_pct": 30}, "x_pct and y_pct are more than"),
    "no sections": ({**STATIC, "pattern": "saw", "num_sections": 0}, "reorder sorting: num_sections=0: "),
    "a list of scores": ({**STATIC, "score_params": [1]}, "reorder sorting: score_params=[1]: "),
    "a list for a column": ({**STATIC, "score_params": {"score_field": [1]}}, "score_params: score_field=[1]: "),
    "never anew": ({**DYNAMIC, "reorder_every": "never"}, "reorder sorting: reorder_every='never': "),
    "two faults": ({**DYNAMIC, "layers": 0, "ascending": 7}, "; "),
}


@pytest.mark.parametrize(("params", "line"), REFUSED_REORDERS.values(), ids=REFUSED_REORDERS)
def test_a_reorder_without_a_counterpart_is_refused(params, line):
    assert line in refused({**REORDER, **ONCE}, components={"reorders": {"sorting": {"params": params}}})


@pytest.mark.parametrize(("args", "line"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused(args, line):
    tasks = {"selectors": {"icons": {"params": {"task_boundaries": [3, 4]}}}}
    assert line in refused(args, components=tasks if args.get("component_name") == "icons" else None)


@pytest.mark.parametrize(
    ("held", "line"),
    [
        ({}, "components.yaml has no selector 'random' (there are none)"),
        ({"selectors": {"randm": {}}}, "did you mean 'randm'?"),
        ({"selectors": {}, "mixers": {"random": {}}}, "random there is for train_type dynamic_mix"),
        ({"selectors": ["random"]}, "selectors is no section"),
        ({"selectors": {"random": 3}}, "selectors.random is no component"),
        ({"selectors": {"random": {"params": 3}}}, "selectors.random is no component"),
    ],
)
def test_a_components_file_that_does_not_have_it_is_refused(held, line):
    assert line in refused({**SELECT, **ONCE}, components=held)


# ------------------------------------------------------------------------------------------------------------ pipelines

LEGO = {**SELECT, **ONCE, "train_type": "dynamic_lego", "update_times": 2, "dataset": "a,b"}
PRESETS = {
    "hierarchical": (
        {
            "selector": {"name": "loss", "focus": "medium"},
            "mixer": {"name": "odm", "alpha": 0.9},
            "weighter": {"name": "loss", "strategy": "linupper", "delta": 1.0},
        },
        ["every 200 of selector loss", "every 50 of mixer odm", "mixer odm: rewards", "mode filter of selector loss",
         "reorder dynamic_saw: left out", "warmup_step 10 of selector loss", "warmup_step 10 of weighter loss"],
    ),
    "select_then_reorder": (
        {"selector": {"name": "loss", "focus": "medium"}},
        ["every 100 of selector loss", "mode filter of selector loss", "reorder dynamic_saw: left out",
         "warmup_step 10 of selector loss"],
    ),
    "mix_then_weight": (
        {
            "mixer": {"name": "odm", "alpha": 0.9},
            "weighter": {"name": "loss", "strategy": "linupper", "delta": 1.0},
        },
        ["every 50 of mixer odm", "mixer odm: rewards", "warmup_step 10 of weighter loss"],
    ),
    "select_only": ({"selector": {"name": "loss", "focus": "medium"}}, ["warmup_step 10 of selector loss"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "strategies", "told"), [(name, *preset) for name, preset in PRESETS.items()], ids=PRESETS
)
def test_the_pipelines_of_1_1_0_are_a_strategy_of_each_kind(name, strategies, told):
    made = spelt({**LEGO, "component_name": name, "components_cfg_file": "src/dataflex/configs/components.yaml"})
    assert made.section == {"warmup_steps": 3, "update_steps": 4, "updates": 2, **strategies}
    said = sorted(line for line in made.notices if "does not exist" not in line)
    assert len(said) == len(told)
    assert all(line.startswith(begin) for line, begin in zip(said, told, strict=True))


def stages(*entries, **params):
    """A components file with one pipeline, and the components that its stages name, by family."""
    held = {"selectors": {"loss": {}}, "mixers": {"random": {}}, "weighters": {"loss": {}, "adapt": {}}}
    reorders = {"sorting": {"params": {"kind": "dynamic", "pattern": "sorting"}}}
    return {**held, "reorders": reorders, "pipelines": {"mine": {"params": {"stages": list(entries), **params}}}}


def stage(family, component, **keys):
    return {"family": family, "component": component, **keys}


MINE = {**LEGO, "component_name": "mine"}


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ({"collect_steps": "abc"}, "collect_steps='abc': "),
        ({"eval_samples": 0, "eval_batch_size": [1]}, "; "),
        ({"collect_steps": -4}, "mixer dynamic_moe: collect_steps=-4: "),
    ],
)
def test_parameters_of_another_type_are_refused_in_one_line(written, wrong):
    held = {"mixers": {"dynamic_moe": {"params": written}}}
    assert wrong in refused({**MIX, **ONCE, "component_name": "dynamic_moe"}, components=held)


@pytest.mark.parametrize("written", [{}, {"collect_steps": None}, {"eval_samples": None, "eval_batch_size": None}])
def test_parameters_that_are_null_are_as_if_they_were_left_out(written):
    held = {"mixers": {"dynamic_moe": {"params": written}}}
    made = spelt({**MIX, **ONCE, "component_name": "dynamic_moe"}, components=held)
    assert made.section["mixer"] == {"name": "dynamic-moe", "probe": 320}


def test_a_doremi_that_is_given_a_reference_beside_its_file_lacks_none():
    held = {"mixers": {"doremi": {"params": {}}}}
    args = {**MIX, **ONCE, "component_name": "doremi"}
    made = spelt(args, {"mixer": {"reference_model": "ref"}}, components=held)
    assert not any(line.startswith("reference_model_path") for line in made.notices)


def test_a_pipeline_takes_several_weighters_and_a_reorder_where_nothing_else_selects():
    held = stages(
        stage("reorder", "sorting"),
        stage("selector", "loss", enabled=False),
        stage("weighter", "loss"),
        stage("weighter", "adapt", warmup_step=3),
        cache_dir="x",
    )
    made = spelt(MINE, components=held)
    curriculum = {"score": "loss", "pattern": "sort", "hardest_first": True, "refresh": True}
    assert made.section["selector"] == {"name": "curriculum", **curriculum}
    assert made.section["weighter"] == [{"name": "loss"}, {"name": "adapt"}]
    assert "cache_dir of pipeline mine: without effect, decisions are kept in output_dir/dataflex" in made.notices


def test_what_is_named_in_todays_keys_wins_over_a_stage_of_its_kind():
    held = stages(stage("mixer", "random"), stage("weighter", "loss"))
    made = spelt(MINE, strategies={Kind.MIXER: "temperature"}, components=held)
    assert "mixer" not in made.section
    assert made.section["weighter"] == {"name": "loss"}


@pytest.mark.parametrize(
    ("entries", "line"),
    [
        ([], "pipeline mine has no stages"),
        (["loss"], "pipeline mine has no stages"),
        ([stage("selectr", "loss")], "family 'selectr' (did you mean 'selector'?"),
        ([stage("selector", None)], "name its component"),
        ([stage("mixer", "random"), stage("mixer", "random")], "two stages of family mixer"),
        ([stage("mixer", "randm")], "has no mixer 'randm'"),
        ([stage("mixer", "random", every="abc")], "pipeline mine: stage mixer random: every='abc': "),
        ([stage("mixer", "random", warmup_step=-3)], "pipeline mine: stage mixer random: warmup_step=-3: "),
        ([stage("selector", "loss", keep_ratio={})], "pipeline mine: stage selector loss: keep_ratio={}: "),
    ],
)
def test_a_pipeline_that_1x_would_refuse_is_refused(entries, line):
    assert line in refused(MINE, components=stages(*entries))


# ------------------------------------------------------------------------------------------------ old and new together


@pytest.fixture
def old(tmp_path, data, monkeypatch):
    """A working directory as the configurations of 1.x expect one; loads one of them."""
    for path in OLD.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)

    def load(name, *words, notice=lambda text: None, **others):
        return load_config(Path(f"{name}.yaml"), Overrides(words=words, **others), notice=notice)

    return load


LOSS = StrategyChoice(name="loss", params={"focus": "medium", "boost": 3.0})
MIXED = {
    "an old key overridden": (["warmup_step=5"], {}, {"warmup_steps": 5, "update_steps": 4, "selector": LOSS}),
    "a new key overrides": (["dataflex.update_steps=5"], {}, {"warmup_steps": 3, "update_steps": 5, "selector": LOSS}),
    "both, and the new key wins": (["update_step=6", "dataflex.update_steps=5"], {}, {"update_steps": 5}),
    "an old key that ends the run": (["update_times=2"], {}, {"updates": 2}),
    "a parameter": (
        ["dataflex.selector.focus=low"],
        {},
        {"selector": StrategyChoice(name="loss", params={"focus": "low", "boost": 3.0})},
    ),
    "a setting": (
        [],
        {"parameter_words": ("selector.focus=low",)},
        {"selector": StrategyChoice(name="loss", params={"focus": "low", "boost": 3.0})},
    ),
    "another selector": ([], {"strategies": {Kind.SELECTOR: "less"}}, {"selector": StrategyChoice(name="less")}),
    "the same selector": ([], {"strategies": {Kind.SELECTOR: "loss"}}, {"selector": LOSS}),
    "another in the section": (["dataflex.selector=random"], {}, {"selector": StrategyChoice(name="random")}),
    "none": (["dataflex.selector=null"], {}, {"selector": None, "warmup_steps": 3}),
    "a mixer too": (
        [],
        {"strategies": {Kind.MIXER: "temperature"}},
        {"selector": LOSS, "mixer": StrategyChoice(name="temperature")},
    ),
    "another component": (["component_name=random"], {}, {"selector": StrategyChoice(name="random")}),
}


@pytest.mark.parametrize(("overrides", "options", "expected"), MIXED.values(), ids=MIXED)
def test_old_and_new_keys_together(old, overrides, options, expected):
    made = old("select_loss", *overrides, **options).dataflex
    assert {key: getattr(made, key) for key in expected} == expected


def test_a_component_that_gives_way_is_not_looked_up(old):
    said: list[str] = []
    named = {"strategies": {Kind.SELECTOR: "random"}, "notice": said.append}
    made = old("select_loss", "component_name=gone", "components_cfg_file=gone.yaml", **named)
    assert made.dataflex.selector == StrategyChoice(name="random")
    assert said == []


@pytest.mark.parametrize(
    ("key", "hint"), [("warmup_step=5", "dataflex.warmup_steps"), ("update_times=2", "dataflex.updates")]
)
@pytest.mark.parametrize("how", ["flag", "section"])
def test_an_old_key_in_a_new_configuration_is_refused_with_its_new_name(tmp_path, key, hint, how):
    path = tmp_path / "new.yaml"
    path.write_text("dataflex: {selector: loss}\n" if how == "section" else "seed: 1\n")
    strategies = {Kind.SELECTOR: "loss"} if how == "flag" else {}
    with pytest.raises(InvalidConfig, match=r"key of DataFlex 1\.x") as caught:
        load_config(path, Overrides(words=(key,), strategies=strategies))
    assert hint in caught.value.hint


@pytest.mark.parametrize("place", ["working directory", "beside the file", "a folder of its own"])
def test_where_a_components_file_is_looked_for(tmp_path, monkeypatch, place):
    away = tmp_path / "away"
    away.mkdir()
    monkeypatch.chdir(tmp_path)
    named = {"working directory": tmp_path / "sub", "beside the file": away, "a folder of its own": away / "sub"}[place]
    named.mkdir(exist_ok=True)
    (named / "mine.yaml").write_text("selectors: {random: {name: loss, params: {focus: low}}}\n")
    lines = [f"{key}: {value}" for key, value in SELECT.items()]
    (away / "old.yaml").write_text("\n".join([*lines, "components_cfg_file: sub/mine.yaml"]))
    made = load_config(away / "old.yaml")
    assert made.dataflex.selector == StrategyChoice(name="loss", params={"focus": "low"})


def test_what_is_said_is_said_once_and_the_ranks_read_the_new_form(old):
    said: list[str] = []
    config = old("select_less", notice=said.append)
    assert len(said) == len(set(said)) > 0
    assert RunConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config


@pytest.mark.parametrize("name", ["coincide", "zeroth"])
def test_a_component_that_nobody_offers_is_refused_by_its_name(old, name):
    config = old("select_loss", f"component_name={name}")
    with pytest.raises(
        UnknownStrategy, match=rf"no installed plugin offers the \w+ '{name}' of DataFlex 1.x"
    ) as caught:
        prepare(config, discover())
    assert "list-strategies" in caught.value.hint


def test_code_of_ones_own_becomes_a_plugin(old):
    config = old("select_loss", "component_name=custom")
    with pytest.raises(UnknownStrategy, match=r"'custom' of DataFlex 1\.x") as caught:
        prepare(config, discover())
    assert "dataflex new" in caught.value.hint


def test_every_key_is_in_the_documentation_and_its_example_is_what_migrate_prints(tmp_path, monkeypatch):
    text = (OLD.parents[1] / "docs" / "from-dataflex-1.md").read_text(encoding="utf-8")
    assert [key for key in NAMES if f"| `{key}` |" not in text] == []
    old, new = re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.yaml").write_text(old)
    (tmp_path / "new.yaml").write_text(new)
    assert load_config(Path("old.yaml")) == load_config(Path("new.yaml"))
