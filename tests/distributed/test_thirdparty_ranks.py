"""Strategies of others, selectors of ours, and windows of one global batch: the same on 1, 2 and 4 gloo ranks."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support import base_args, build_data, build_model, journalled, of_kind, train, weights
from third_party import FOLDER, catalog

pytestmark = [pytest.mark.numeric, pytest.mark.slow]

COMMON = {
    "max_steps": 4,
    "lr_scheduler_type": "constant",
    "learning_rate": 1e-3,
    # Adam turns the sign of a gradient that is nothing but rounding into a whole step, unless eps is above it.
    "adam_epsilon": 1e-3,
    # One decision, from the very same model state: the next may fall otherwise, models agree to rounding only.
    "dataflex": {"warmup_steps": 0, "update_steps": 4},
    "eval_dataset": "held",
}
SETS = {
    "my-rho-1": {"weighter": "my-rho-1", "selector": "random"},
    "exp3": {"mixer": "exp3", "selector": "loss"},
    "rho-loss": {"selector": "rho-loss"},
    "k-center": {"selector": "k-center", "weighter": "loss"},
    "curriculum": {"selector": "curriculum", "mixer": "temperature"},
    "near": {"selector": "near", "mixer": "temperature"},
    "tsds": {"selector": "tsds"},
}


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """A pool that no number of ranks divides."""
    return build_data(tmp_path_factory.mktemp("uneven"), sizes={"words": 61, "numbers": 42, "held": 7})


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A reference model: of the same vocabulary, otherwise initialised."""
    return build_model(tmp_path_factory.mktemp("reference"), seed=1)


def _compare(model, data, folder, ranks, split, strategies, settings=()):
    """The same plan, samples and weights on one rank, 8 samples at once, and on ``ranks``, ``split``."""
    one: list[dict] = []
    args = base_args(model, data, folder / "1", per_device_train_batch_size=8, **COMMON)
    train(args, events=one, catalog=catalog(), settings=settings, **strategies)
    batch, accumulation = split
    assert batch * accumulation * ranks == 8
    changes = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation}
    config = folder / "config.json"
    config.write_text(json.dumps(base_args(model, data, folder / "n", **COMMON, **changes)))
    words = [word for kind, name in strategies.items() for word in (f"--{kind}", name)]
    words += [word for setting in settings for word in ("--set", setting)]
    words += [word for file in sorted(FOLDER.glob("*.py")) for word in ("--plugin", str(file))]
    command = [sys.executable, "-m", "dataflex_cli", "run", str(config), *words, "--nproc", str(ranks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    shared = journalled(folder / "n")
    for told in ("plan", "proportions"):
        assert [d[told] for d in of_kind(shared, "decision")] == [d[told] for d in of_kind(one, "decision")]
    for alone, together in zip(of_kind(one, "step"), of_kind(shared, "step"), strict=True):
        assert sorted(alone["samples"]) == sorted(together["samples"])
    expected, found = weights(folder / "1"), weights(folder / "n")
    gap = max(float((expected[name] - found[name]).abs().max()) for name in expected)
    assert gap < 1e-4, "same samples, same weights: the same model to rounding"


@pytest.mark.parametrize("name", SETS)
def test_two_ranks_decide_as_one(model, reference, uneven, tmp_path, name):
    kinds = [kind for kind, chosen in SETS[name].items() if "rho" in chosen]
    settings = tuple(f"{kind}.reference_model={reference}" for kind in kinds)
    _compare(model, uneven, tmp_path, 2, (2, 2), SETS[name], settings)


SPLITS = [
    pytest.param(2, (4, 1), id="2 ranks, 4 x 1"),
    pytest.param(2, (1, 4), id="2 ranks, 1 x 4"),
    pytest.param(4, (2, 1), id="4 ranks, 2 x 1"),
    pytest.param(4, (1, 2), id="4 ranks, 1 x 2"),
]


@pytest.mark.parametrize(("ranks", "split"), SPLITS)
@pytest.mark.parametrize("name", ["loss", "my-rho-1"])
def test_how_ranks_split_the_window_does_not_show(model, reference, uneven, tmp_path, name, ranks, split):
    """In LLaMA-Factory's own order, with no plan of ours."""
    settings = (f"weighter.reference_model={reference}",) if name == "my-rho-1" else ()
    _compare(model, uneven, tmp_path, ranks, split, {"weighter": name}, settings)
