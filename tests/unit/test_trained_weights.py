"""What tells that a checkpoint was not loaded whole, and what is said then."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from dataflex_core.errors import InvalidConfig, RunFailed
from dataflex_core.trainer.checkpoint_files import write_state
from dataflex_core.trainer.complete import CompleteTrainer
from dataflex_core.trainer.trained_weights import differing, digests_of, listed, mend, refusal

CHECKPOINT = Path("out/checkpoint-4")


def _model(*, dtype=torch.float32):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).to(dtype)


def _digests(model):
    return digests_of(dict(model.named_parameters()))


def test_equal_weights_have_equal_digests_and_one_bit_tells():
    saved = _digests(_model())
    assert differing(_digests(_model()), saved) == []
    other = _model()
    with torch.no_grad():
        other[2].bias[1] = torch.nextafter(other[2].bias[1], torch.tensor(1.0))
    assert differing(_digests(other), saved) == ["2.bias"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_digest_is_of_bits_and_dtype_in_any_layout(dtype):
    value = torch.arange(12, dtype=dtype).reshape(3, 4)
    (kept,) = digests_of({"a": nn.Parameter(value)}).values()
    assert kept.startswith(f"{dtype}".removeprefix("torch.") + " ")
    assert digests_of({"a": nn.Parameter(value.t().contiguous().t())}) == {"a": kept}


def test_a_large_tensor_has_the_same_digest_in_pieces(monkeypatch):
    value = {"a": nn.Parameter(torch.arange(1000.0)), "empty": nn.Parameter(torch.empty(0))}
    whole = digests_of(value)
    monkeypatch.setattr("dataflex_core.scoring.fingerprint._PIECE", 64)
    assert digests_of(value) == whole


def test_what_ranks_share_out_has_no_digest():
    sharded = _model()
    sharded[0].weight.ds_id = 0
    assert _digests(sharded) is None


def _another(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    return model


def _without_the_last(saved):
    return dict(list(saved.items())[:-1])


SAVED = _digests(_model())
REFUSALS = {
    "bits": (
        _digests(_another(_model())),
        SAVED,
        RunFailed,
        "was not loaded whole: 0.weight, 0.bias, 1.weight and 3 more, of 6 that train, are not as they were saved",
    ),
    "dtype": (
        _digests(_model(dtype=torch.bfloat16)),
        SAVED,
        InvalidConfig,
        "was written by a run whose weights are float32, and here they are bfloat16: 0.weight, 0.bias, 1.weight and 3 "
        "more",
    ),
    "new": (
        SAVED,
        _without_the_last(SAVED),
        InvalidConfig,
        "was written by a run that did not train 2.bias, which trains here",
    ),
    "gone": (
        _without_the_last(SAVED),
        SAVED,
        InvalidConfig,
        "was written by a run that trained 2.bias, which does not train here",
    ),
    "another rank": (SAVED, SAVED, RunFailed, "was not loaded whole on another rank"),
}


@pytest.mark.parametrize("how", REFUSALS)
def test_a_refusal_is_one_line_that_names_the_first_weights_and_has_a_hint(how):
    found, saved, kind, said = REFUSALS[how]
    error = refusal(CHECKPOINT, found, saved)
    assert type(error) is kind
    assert error.message == f"{CHECKPOINT} {said}"
    assert error.hint
    assert "\n" not in f"{error.message}{error.hint}"


def test_few_weights_are_all_named():
    assert listed(["a", "b", "c"]) == "a, b, c"


def test_a_model_that_transformers_cannot_load_is_left_alone(tmp_path):
    model = _another(_model())
    before = _digests(model)
    mend(model, tmp_path, ["0.weight"])
    assert _digests(model) == before


@pytest.mark.parametrize(
    ("state", "here", "said"),
    [
        ({}, SAVED, 0),
        ({"weights": None}, SAVED, 1),
        ({"weights": SAVED}, None, 1),
        ({"weights": SAVED}, SAVED, 0),
    ],
    ids=["of an older version", "shared out there", "shared out here", "whole"],
)
def test_weights_that_ranks_share_out_are_said_not_to_be_compared(tmp_path, state, here, said):
    write_state(tmp_path, state)
    told: list[str] = []
    trainer = SimpleNamespace(
        run=SimpleNamespace(journal=SimpleNamespace(notice=told.append)),
        ranks=SimpleNamespace(largest=int),
        digests=lambda trained: here,
    )
    CompleteTrainer.check_loaded(trainer, tmp_path, {})
    assert told == [f"weights that ranks share out are not compared with those of {tmp_path}"] * said


def test_a_rank_whose_weights_are_whole_ends_with_the_one_whose_are_not(tmp_path):
    write_state(tmp_path, {"weights": SAVED})
    answers = [1, 0]  # to the last question, and to the first
    trainer = SimpleNamespace(
        ranks=SimpleNamespace(largest=lambda value: answers.pop()),
        is_deepspeed_enabled=False,
        digests=lambda trained: SAVED,
    )
    with pytest.raises(RunFailed, match="on another rank"):
        CompleteTrainer.check_loaded(trainer, tmp_path, {})
