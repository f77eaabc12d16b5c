"""A run goes on from the very weights it had; where a checkpoint is not loaded whole, that is mended or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from architectures import TEXT
from cases import cases
from safetensors.torch import load_file, save_file
from support import base_args, build_model, of_kind, train, weights

from dataflex_core.errors import InvalidConfig, RunFailed
from dataflex_core.trainer.checkpoint_files import seal

pytestmark = pytest.mark.numeric

FULL = {"finetuning_type": "full"}
# The first saves its experts and routers, the second its experts, under other names than its modules have.
RUNS = {
    "mixtral": FULL,
    "qwen2-moe": {"finetuning_type": "freeze", "freeze_trainable_layers": 1},
    "mixtral in bfloat16": {**FULL, "pure_bf16": True},
    "tied": {**FULL, "bf16": True},
    "dora": {"use_dora": True, "additional_target": "embed_tokens,lm_head"},
}
LEFT_OUT = {
    "mixtral": "model.layers.0.mlp.gate.weight",
    "qwen2-moe": "model.layers.1.mlp.experts.gate_up_proj",
    "mixtral in bfloat16": "model.layers.0.mlp.gate.weight",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("mixtral", "qwen2-moe"):
        build_model(folder / name)
        (folder / name / "model.safetensors").unlink()
        TEXT[name].build().save_pretrained(folder / name)
    build_model(folder / "llama", tie=True)
    return folder


@pytest.fixture
def trained(models, data, tmp_path, monkeypatch):
    """Trains one of `RUNS` with changes: its arguments, and how its folder is called."""
    monkeypatch.setattr("llamafactory.hparams.parser.is_torch_bf16_gpu_available", lambda: True)

    def made(name, **changes):
        family = name.split()[0]
        model = models / (family if family in TEXT else "llama")
        known = {"max_steps": 4, "save_steps": 2, "save_strategy": "steps", **RUNS[name], **changes}
        args = base_args(model, data, tmp_path / "whole", **known)
        train(args, selector="random")
        return args

    return made


def _resume(args, output: Path, *, edit=None, **changes):
    """Go on from a copy of checkpoint-2, which ``edit`` was let change; the events."""
    shutil.copytree(args["output_dir"], output)
    checkpoint = output / "checkpoint-2"
    if edit is not None:
        edit(checkpoint)
        seal(checkpoint)
    events: list[dict] = []
    resumed = {**args, "output_dir": str(output), "resume_from_checkpoint": str(checkpoint), **changes}
    train(resumed, selector="random", events=events)
    return events


def _told(events):
    return [e["text"] for e in of_kind(events, "notice") if "left out" in e["text"]]


def _differing(one: Path, two: Path) -> list[str]:
    first, second = weights(one), weights(two)
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


@pytest.mark.parametrize("name", cases(RUNS, slow=["mixtral in bfloat16", "tied", "dora"]))
def test_a_resumed_run_ends_with_the_weights_of_the_one_that_was_not_stopped(trained, tmp_path, name):
    args = trained(name)
    told = _told(_resume(args, tmp_path / "again"))
    assert _differing(Path(args["output_dir"]), tmp_path / "again") == []
    assert [text.partition(",")[0] for text in told] == ([LEFT_OUT[name]] if name in LEFT_OUT else [])


def _add_one(checkpoint):
    held = load_file(checkpoint / "model.safetensors")
    held["model.norm.weight"] += 1
    save_file(held, checkpoint / "model.safetensors", metadata={"format": "pt"})


def _forget_the_digests(checkpoint):
    path = checkpoint / "dataflex" / "state.json"
    read = json.loads(path.read_text())
    del read["state"]["weights"]
    path.write_text(json.dumps(read))


def test_weights_that_cannot_be_had_are_refused_and_those_of_an_older_version_are_not_asked_about(trained, tmp_path):
    args = trained("tied")

    def both(checkpoint):
        _forget_the_digests(checkpoint)
        _add_one(checkpoint)

    with pytest.raises(RunFailed, match=r"checkpoint-2 was not loaded whole: model\.norm\.weight, of 20 that train"):
        _resume(args, tmp_path / "refused", edit=_add_one)
    assert of_kind(_resume(args, tmp_path / "older", edit=both), "end")


def test_another_set_of_trainable_weights_is_refused(trained, tmp_path):
    args = trained("qwen2-moe")
    with pytest.raises(InvalidConfig, match=r"did not train model\.layers\.0\.self_attn\.q_proj\.weight"):
        _resume(args, tmp_path / "again", freeze_trainable_layers=-1)


def test_the_best_model_is_loaded_whole(trained):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss", "greater_is_better": True}
    args = trained("mixtral", eval_dataset="held", eval_strategy="steps", eval_steps=2, **best)
    output = Path(args["output_dir"])
    assert json.loads((output / "trainer_state.json").read_text())["best_global_step"] == 2
    assert _differing(output, output / "checkpoint-2") == []


def test_a_resume_under_badam_says_that_it_is_not_exact(trained, tmp_path):
    pytest.importorskip("badam")
    block = {"use_badam": True, "badam_switch_interval": 1, "badam_switch_mode": "ascending", "badam_verbose": 0}
    args = trained("tied", **block, bf16=None)
    told = [e["text"] for e in of_kind(_resume(args, tmp_path / "again"), "notice")]
    assert sum("BAdam does not write into a checkpoint which block trains" in text for text in told) == 1
