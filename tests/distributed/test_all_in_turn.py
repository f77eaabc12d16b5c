"""All strategies in one run: on two ranks, killed and resumed, it chooses as one rank does that nothing happens to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from in_turn import DIES_AT, every
from support import base_args, build_data, build_experts, build_model, journalled, of_kind, train, weights

from dataflex_core.catalog import discover
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.spec import Kind

pytestmark = pytest.mark.numeric

PLUGIN = Path(__file__).parents[1] / "in_turn.py"
DIES, SAVED = 20, 8
"""The decision that is not taken at first, and the steps between checkpoints."""


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """A pool that no number of ranks divides, with a number for each row, and two subtasks.

    No prompt is there twice: of two tokens after the same ones, which is worth more, rounding would decide.
    """
    sizes = {"words": 63, "numbers": 38}
    more = {name: 8 * size for name, size in sizes.items()}
    folder = build_data(tmp_path_factory.mktemp("rated"), sizes={**more, "held": 7, "numbers_held": 5})
    for name, size in sizes.items():
        rows = json.loads((folder / f"{name}.json").read_text())
        distinct = list({row["instruction"]: row for row in rows}.values())[:size]
        assert len(distinct) == size
        rated = [{**row, "quality": i * 7 % 13 / 13} for i, row in enumerate(distinct)]
        (folder / f"{name}.json").write_text(json.dumps(rated))
    return folder


@pytest.fixture(scope="module")
def mixture(model, tmp_path_factory):
    """One of the strategies asks which experts samples are sent to."""
    return build_experts(tmp_path_factory.mktemp("mixture"), model)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return str(build_model(tmp_path_factory.mktemp("reference"), seed=1))


def _args(model, data, output, reference, *, batch, decisions):
    weighters = [
        {"name": name, **({"reference_model": reference} if one.references else {})}
        for name, one in every(Kind.WEIGHTER, reference).items()
    ]
    section = {
        "warmup_steps": 0,
        "update_steps": 1,
        "columns": ["quality"],
        "holdout": 0.1,
        "selector": {"name": "in-turn", "reference_model": reference},
        "mixer": {"name": "in-turn", "reference_model": reference},
        "weighter": weighters,
    }
    return base_args(
        model,
        data,
        output,
        eval_dataset="held,numbers_held",
        per_device_train_batch_size=batch,
        max_steps=decisions,
        lr_scheduler_type="constant",
        learning_rate=1e-3,
        # Adam turns the sign of a gradient that is nothing but rounding into a whole step, unless eps is above it.
        adam_epsilon=1e-3,
        save_strategy="steps",
        save_steps=SAVED,
        dataflex=section,
    )


def _on_two_ranks(config, *words, **env):
    command = [sys.executable, "-m", "dataflex_cli", "run", str(config), "--plugin", str(PLUGIN), "--nproc", "2"]
    return subprocess.run(
        [*command, *words], env={**os.environ, **env}, capture_output=True, text=True, timeout=400, check=False
    )


def test_all_in_turn_killed_and_resumed_choose_as_if_nothing_had_happened(mixture, rated, reference, tmp_path):
    decisions = 2 * len(every(Kind.SELECTOR, reference))
    args = _args(mixture, rated, tmp_path / "2", reference, batch=4, decisions=decisions)
    config = tmp_path / "config.json"
    config.write_text(json.dumps(args))
    killed = _on_two_ranks(config, **{DIES_AT: str(DIES)})
    assert killed.returncode != 0, killed.stdout[-3000:]
    assert of_kind(journalled(tmp_path / "2"), "step")[-1]["step"] == DIES - 1, killed.stderr[-3000:]
    resumed = _on_two_ranks(config, "--resume")
    assert resumed.returncode == 0, f"{resumed.stdout[-3000:]}{resumed.stderr[-3000:]}"
    assert of_kind(journalled(tmp_path / "2"), "resume")[0]["step"] == (DIES - 1) // SAVED * SAVED

    args = _args(mixture, rated, tmp_path / "1", reference, batch=8, decisions=decisions)
    train(args, catalog=discover(plugins=Plugins(files=(PLUGIN,))))
    one, two = (journalled(tmp_path / run) for run in "12")
    for alone, together in zip(of_kind(one, "decision"), of_kind(two, "decision"), strict=True):
        assert (together["decision"], together["plan"]) == (alone["decision"], alone["plan"])
        assert together["proportions"] == pytest.approx(alone["proportions"], rel=1e-4), (
            "learnt from losses, to rounding"
        )
    trained = [[sorted(step["samples"]) for step in of_kind(events, "step")] for events in (one, two)]
    assert trained[0] == trained[1]
    expected, found = weights(tmp_path / "1"), weights(tmp_path / "2")
    assert max(float((expected[name] - found[name]).abs().max()) for name in expected) < 1e-4
