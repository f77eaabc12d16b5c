"""Numbers that no run can have are told by type: of strategies' parameters and of the section as of LLaMA-Factory's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge

from dataflex_core.config.params import examine
from dataflex_core.finite import LARGEST, misnumbered
from dataflex_core.llamafactory.bounds import BOUNDS
from dataflex_core.llamafactory.keys import known_keys
from dataflex_core.llamafactory.values import accepted, misfit, whole

NAN, INF = float("nan"), float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    scale: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    count: Annotated[int, Ge(0)] = 3
    share: float | None = None
    limit: float = INF
    by_name: dict[str, float] = field(default_factory=dict)
    many: tuple[int, ...] = ()
    pair: tuple[float, bool] = (1.0, True)
    either: bool | int = 1
    word: Literal["nan"] | float = 1.0
    text: str = ""
    anything: Any = None
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("count", True, "a number, not true"),
        ("count", 10**20, "a number below 2^63"),
        ("share", NAN, "a finite number"),
        ("share", -INF, "a finite number"),
        ("share", "inf", "a finite number"),
        ("share", False, "a number, not false"),
        ("limit", NAN, "a finite number"),
        ("by_name", {"a": 1.0, "b": INF}, "a finite number"),
        ("many", [1, True], "a number, not true"),
        ("pair", [INF, True], "a finite number"),
        ("inner", {"scale": True}, "a number, not true"),
    ],
)
def test_a_parameter_that_no_run_can_have(name, value, wanted):
    made, ((key, text),) = examine(Params, {name: value}, owner="selector mine")
    assert made is None
    assert (key, text) == (name, f"{name}={value!r}: input should be {wanted}")


@pytest.mark.parametrize(
    "values",
    [
        {"limit": INF},
        {"pair": [2, False], "either": True, "word": "nan"},
        {"text": "inf", "anything": NAN, "by_name": {"a": 0}},
        {"count": LARGEST, "share": None, "many": [1, 2], "inner": {"scale": 2}},
    ],
)
def test_others_are_left_to_pydantic(values):
    assert examine(Params, values, owner="selector mine")[1] == []


def test_several_faults_are_told_once_each():
    _, found = examine(Params, {"count": True, "share": NAN, "many": "x"}, owner="selector mine")
    assert sorted(key for key, _ in found) == ["count", "many", "share"]


NUMBERS = sorted(key for key in known_keys() or () if (allowed := accepted(key)) is not None and allowed.number)


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_of_llamafactory_is_nan_or_overflows(key):
    assert misfit(key, NAN) == (f"{key}=nan should be a finite number", f"write a finite number, or leave {key} out")
    assert "below 2^63" in misfit(key, 10**20)[0]
    if not accepted(key).boolean:
        assert misfit(key, True) == (f"{key} is true, not a number", "write a number")
    assert (misfit(key, INF) is None) == (key == "max_grad_norm")


def test_the_table_is_of_keys_that_are_numbers():
    assert BOUNDS.keys() <= set(NUMBERS)


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("per_device_train_batch_size", 0, "at least 1"),
        ("per_device_eval_batch_size", -2, "at least 1"),
        ("gradient_accumulation_steps", 1.5, "a whole number"),
        ("gradient_accumulation_steps", 10**9, "at most 1e+06"),
        ("num_train_epochs", 0, "more than 0"),
        ("num_train_epochs", -1, "more than 0"),
        ("max_steps", 0, "at least 1"),
        ("max_steps", 10**15, "at most 1e+12"),
        ("cutoff_len", 0, "at least 1"),
        ("learning_rate", -1e-4, "at least 0"),
        ("warmup_ratio", 1.5, "at most 1"),
        ("warmup_steps", 2.5, "a whole number"),
        ("adam_beta2", 1.0, "less than 1"),
        ("seed", -1, "at least 0"),
        ("data_seed", 2**40, "at most 4.29497e+09"),
        ("lora_rank", 0, "at least 1"),
        ("lora_dropout", 1.2, "at most 1"),
        ("val_size", -0.1, "at least 0"),
        ("val_size", 2.5, "a whole number"),
        ("max_samples", -3, "at least 1"),
    ],
)
def test_a_number_out_of_bounds(key, value, wanted):
    found = misfit(key, value)
    assert found is not None
    assert found[0] == f"{key}={value!r} should be {wanted}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("max_steps", -1),
        ("learning_rate", 0),
        ("val_size", 0.1),
        ("val_size", 20),
        ("warmup_steps", 0.03),
        ("num_train_epochs", 0.5),
        ("save_total_limit", -1),
        ("freeze_trainable_layers", -2),
        ("lora_alpha", 0.5),
        ("logging_steps", 0.1),
        ("max_grad_norm", INF),
        ("lr_scheduler_kwargs", {"num_cycles": 0.5}),
    ],
)
def test_numbers_that_mean_something(key, value):
    assert misfit(key, value) is None


def test_a_nan_within_a_section_is_told():
    found = misfit("lr_scheduler_kwargs", {"cycles": [1, NAN]})
    assert found is not None
    assert "holds nan" in found[0]


def test_a_count_that_yaml_made_a_fraction_is_a_count():
    assert [whole(key, 1e3) for key in ("max_steps", "learning_rate", "unheard_of")] == [1000, 1e3, 1e3]
    assert type(whole("max_steps", 1e3)) is int


def test_what_is_no_number_is_left_alone():
    assert list(misnumbered(int, "many")) == []
    assert list(misnumbered(str, "nan")) == []
