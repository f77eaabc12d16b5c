"""What is read of LLaMA-Factory's arguments and environment variables, as it reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dataflex_core.errors import InvalidConfig
from dataflex_core.llamafactory.args import RunArgs, dataset_names
from dataflex_core.llamafactory.checks import check_args, check_run
from dataflex_core.llamafactory.environment import LaunchEnvironment, allows_extra_args, log_from, ray_rank
from dataflex_core.llamafactory.keys import LAUNCH_KEYS, known_keys
from dataflex_core.llamafactory.recorded import _INDIFFERENT, recorded
from dataflex_core.llamafactory.written import is_on, number, whole_number

EMPTY = RunArgs(written={})


def test_what_is_not_written_is_llamafactorys_default():
    assert (EMPTY.cutoff_len, EMPTY.trust_remote_code, EMPTY.ray_workers) == (2048, False, 1)
    assert (EMPTY.datasets, EMPTY.ray_options) == ([], {})
    assert (EMPTY.max_steps, EMPTY.epochs, EMPTY.address, EMPTY.port) == (None, None, None, None)


def test_what_changes_what_is_learnt_is_recorded_and_nothing_else():
    learnt = {"learning_rate": "1e-2", "lora_rank": 4.0, "use_dora": "true", "optim": "adamw_torch", "warmup_steps": 2}
    held = {"eval_dataset": "a, b", "lora_target": None}
    beside = {
        "seed": 1, "output_dir": "out", "hub_token": "hf_x", "hf_hub_token": "y", "swanlab_api_key": "z",
        "swanlab_lark_secret": "s", "logging_steps": 2, "eval_steps": 3, "save_strategy": "no", "ddp_timeout": 9,
    }  # fmt: skip
    assert recorded({**learnt, **held, **beside}) == {
        "learning_rate": 0.01,
        "lora_rank": 4,
        "use_dora": True,
        "optim": "adamw_torch",
        "warmup_steps": 2,
        "eval_dataset": ["a", "b"],
    }
    assert recorded({"learning_rate": 0.01}) == recorded({"learning_rate": "1e-2"})


def test_what_is_not_recorded_are_names_of_llamafactory():
    assert _INDIFFERENT - (known_keys() or _INDIFFERENT) <= LAUNCH_KEYS


def test_what_is_written_has_its_type():
    args = RunArgs(
        written={
            "model_name_or_path": "m",
            "cutoff_len": 64,
            "dataset": "b, a,b",
            "output_dir": "out",
            "ray_num_workers": "3",
            "ray_init_kwargs": '{"num_cpus": 2}',
            "master_port": 29500,
        }
    )
    assert (args.model, args.cutoff_len, args.datasets, args.output) == ("m", 64, ["b", "a"], Path("out"))
    assert (args.ray_workers, args.ray_options, args.port) == (3, {"num_cpus": 2}, "29500")


@pytest.mark.parametrize(
    ("written", "packs"),
    [
        ({"stage": "sft"}, False),
        ({"stage": "sft", "packing": True}, True),
        ({"stage": "sft", "neat_packing": "true"}, True),
        ({"stage": "pt"}, True),
        ({"stage": "pt", "packing": False}, False),
    ],
    ids=str,
)
def test_rows_are_packed_where_that_is_asked_for_and_in_pretraining(written, packs):
    assert RunArgs(written=written).packs == packs


@pytest.mark.parametrize(
    ("written", "blocks"),
    [
        ({}, False),
        ({"use_badam": True}, True),
        ({"use_badam": True, "badam_mode": "ratio"}, False),
        ({"use_badam": False, "badam_mode": "layer"}, False),
    ],
)
def test_what_trains_in_blocks(written, blocks):
    assert RunArgs(written=written).trains_in_blocks is blocks


def test_a_number_of_workers_that_is_none_names_its_key():
    with pytest.raises(InvalidConfig, match="ray_num_workers is 'two', not a number"):
        _ = RunArgs(written={"ray_num_workers": "two"}).ray_workers


@pytest.mark.parametrize("given", ["{", [1], "[1]"])
def test_ray_options_that_are_none(given):
    assert RunArgs(written={"ray_init_kwargs": given}).ray_options is None


@pytest.mark.parametrize(
    ("written", "env", "expected"),
    [
        ({}, {}, False),
        ({}, {"USE_RAY": "1"}, True),
        ({"use_ray": False}, {"USE_RAY": "1"}, False),
        ({"use_ray": None}, {"USE_RAY": "1"}, False),
        ({"use_ray": "true"}, {"USE_RAY": "0"}, True),
    ],
)
def test_ray_is_asked_for_by_the_configuration_before_the_environment(written, env, expected):
    assert RunArgs(written=written).uses_ray(env) is expected


def test_an_environment_that_says_nothing():
    env = LaunchEnvironment(variables={})
    assert (env.nodes, env.node_rank, env.processes_per_node, env.forces_torchrun) == (1, 0, 0, False)
    assert (env.address, env.port, env.elastic_job, env.elastic_nodes(2)) == ("127.0.0.1", None, None, "2")
    assert not allows_extra_args({})


def test_a_rank_in_a_ray_worker_has_one_device_and_starts_no_ray():
    variables = ray_rank(2, 3, address="host", port="29500")
    assert (variables["RANK"], variables["WORLD_SIZE"], variables["LOCAL_RANK"]) == ("2", "3", "0")
    assert variables["MASTER_ADDR"] == "host"
    assert not LaunchEnvironment(variables=variables).uses_ray


def test_how_much_is_logged_stays_as_somebody_chose():
    chosen, unsaid = {"LLAMAFACTORY_VERBOSITY": "DEBUG"}, {}
    log_from("WARN", chosen)
    log_from("WARN", unsaid)
    assert (chosen["LLAMAFACTORY_VERBOSITY"], unsaid["LLAMAFACTORY_VERBOSITY"]) == ("DEBUG", "WARN")


def test_a_whole_number_may_be_written_as_yaml_makes_a_fraction_of_it():
    assert [whole_number(value, "max_samples") for value in (20, "20", 2e1)] == [20, 20, 20]
    for wrong in (2.5, "2.5", -1, "many", float("inf")):
        with pytest.raises(InvalidConfig, match="max_samples is"):
            whole_number(wrong, "max_samples")


def test_megatron_is_refused_as_the_environment_asks_for_it(monkeypatch):
    args = {"do_train": True}
    assert list(check_run(args)) == []
    monkeypatch.setenv("USE_MCA", "1")
    (wrong,) = check_run(args)
    assert "USE_MCA=1" in wrong.message


def test_written_values():
    assert [is_on(value) for value in (True, 1, "yes", "No", "0.0", "", None)] == [True] * 3 + [False] * 4
    assert [number(value) for value in ("0.1", 2, None, "many")] == [0.1, 2, 0, 0]


@pytest.mark.parametrize(
    ("schedule", "settings", "wrong"),
    [
        ("linear", {"foo": 1}, ["foo"]),
        ("cosine_with_restarts", {"num_cycles": 2}, []),
        ("cosine_with_restarts", {"num_cycle": 2}, ["num_cycle"]),
        ("cosine_with_min_lr", {"min_lr": 0.1}, []),
        ("constant", {"foo": 1}, []),
        ("reduce_lr_on_plateau", {"factor": 0.5}, []),
        ("of_a_plugin", {"foo": 1}, []),
        ("linear", None, []),
    ],
)
def test_settings_of_a_schedule_that_it_does_not_take(schedule, settings, wrong):
    args = {"lr_scheduler_type": schedule, "lr_scheduler_kwargs": settings}
    said = [fault.message for fault in check_args(args) if "lr_scheduler_kwargs" in fault.key]
    assert said == [f"lr_scheduler_kwargs has {name!r}, which the schedule {schedule} does not take" for name in wrong]


def test_names_in_text_lose_their_blanks_and_those_in_a_list_do_not():
    assert dataset_names(" a, b,a") == ["a", "b"]
    assert dataset_names([" a", "b", "c,d"]) == [" a", "b", "c,d"]


@pytest.mark.parametrize("model", ["", "run.yaml", "data", "a b/c d"])
def test_a_model_that_is_none_is_told_once(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.yaml").write_text("a: 1")
    (tmp_path / "data").mkdir()
    (fault,) = (fault for fault in check_args({"model_name_or_path": model}) if "model_name_or_path" in fault.key)
    assert fault.hint
