"""Strategies of others, and selectors of ours, go on from a checkpoint as if nothing had happened, bit for bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from faults.outcome import outcome
from support import base_args, train
from third_party import catalog

pytestmark = pytest.mark.numeric

COMMON = {
    "max_steps": 8,
    "save_steps": 1,
    "save_strategy": "steps",
    "logging_steps": 1,
    "lora_dropout": 0.1,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "eval_dataset": "held",
}
SETS = {
    "my-rho-1": ({"weighter": "my-rho-1"}, ("weighter.reference_model=base",)),
    "exp3": ({"mixer": "exp3"}, ()),
    "rho-loss": ({"selector": "rho-loss"}, ("selector.reference_model=base",)),
    "k-center": ({"selector": "k-center", "weighter": "loss"}, ()),
    "curriculum": ({"selector": "curriculum", "mixer": "static"}, ("mixer.proportions=[1,3]",)),
    "delta-loss": ({"selector": "delta-loss"}, ()),
    "near": ({"selector": "near", "mixer": "random"}, ()),
    "tsds": ({"selector": "tsds"}, ("selector.alpha=0.2",)),
}
# Those that are not slow meet the same seams.
SLOW = ("exp3", "rho-loss", "curriculum", "delta-loss", "near", "tsds")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in SETS]
)
def whole(request, model, data, tmp_path_factory):
    """A run that was never stopped, with all its checkpoints."""
    strategies, settings = SETS[request.param]
    args = base_args(model, data, tmp_path_factory.mktemp("whole") / "run", **COMMON)
    train(args, settings=settings, catalog=catalog(), **strategies)
    return args, strategies, settings


@pytest.mark.parametrize("step", [1, 3, 8], ids=["in the warm-up", "amid an interval", "at the last step"])
def test_the_rest_is_as_it_was(whole, tmp_path, step):
    args, strategies, settings = whole
    output = tmp_path / "run"
    shutil.copytree(args["output_dir"], output)
    resumed = {**args, "output_dir": str(output), "resume_from_checkpoint": str(output / f"checkpoint-{step}")}
    train(resumed, settings=settings, catalog=catalog(), **strategies)
    assert outcome(Path(args["output_dir"])).differences(outcome(output)) == []
