"""A model with a processor is told no number of tokens: on two ranks its loss is LLaMA-Factory's all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vision import VISION, build_image_data, vision_args
from zero import on_two_ranks

pytestmark = [pytest.mark.slow, pytest.mark.numeric]


def test_equal_weights_are_llamafactorys_loss(extensions, tmp_path):
    family = VISION["llava"]
    model, data = family.build(tmp_path / "model"), build_image_data(tmp_path / "data")
    told = {}
    for name, words in {"alone": (), "weighed": ("--weighter", "uniform", "dataflex.warmup_steps=0")}.items():
        changes = {"max_steps": 3, "logging_steps": 1, "per_device_train_batch_size": 2, "dataset": "text"}
        args = vision_args(model, data, tmp_path / name, family, **changes, eval_dataset="held")
        args |= {"eval_strategy": "steps", "eval_steps": 3, "per_device_eval_batch_size": 1}
        on_two_ranks(args, extensions, *words)
        history = json.loads((Path(args["output_dir"]) / "trainer_state.json").read_text())["log_history"]
        told[name] = [row[key] for row in history for key in ("loss", "grad_norm", "eval_loss") if key in row]
    assert len(told["alone"]) == 7
    assert told["weighed"] == pytest.approx(told["alone"], rel=1e-3)
