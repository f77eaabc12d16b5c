"""LoRA over a base that bitsandbytes keeps in 4 or 8 bits, against batch-of-one autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from architectures import TEXT, batch_of, disagreement, found_gradients, reference_gradients, with_lora
from signal_support import make_samples, signals_of, trained
from support import base_args, build_model, of_kind, train

from dataflex_core.scoring.eval_mode import eval_mode
from dataflex_core.scoring.gradients import Gradients

pytest.importorskip("bitsandbytes", reason="the session `quantised` installs it")

pytestmark = pytest.mark.numeric

BITS = {
    "nf4": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True},
    "fp4": {"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"},
    "int8": {"load_in_8bit": True},
}
KINDS = {"nf4": "Linear4bit", "fp4": "Linear4bit", "int8": "Linear8bitLt"}


def quantised(folder, bits):
    """The model in ``folder`` with LoRA on every linear layer, all of which but the head are in few bits."""
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(**BITS[bits], bnb_4bit_compute_dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, device_map={"": "cpu"}, dtype=torch.float32, attn_implementation="eager"
    )
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False  # where it is true, layers so small cannot be evaluated
    wrapped = with_lora(model)
    wrapped.folder = folder
    kinds = {type(layer).__name__ for name, layer in model.named_modules() if name.endswith("q_proj.base_layer")}
    assert kinds == {KINDS[bits]}
    return wrapped


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_gradients_over_a_quantised_base_are_those_of_a_batch_of_one(tmp_path, family, bits):
    TEXT[family].build().save_pretrained(tmp_path)
    model = quantised(tmp_path, bits).eval()
    batch, said = batch_of(make_samples(5, 3)), []
    found = found_gradients(Gradients(model, said.append), batch)
    assert disagreement(found, reference_gradients(model, batch)) < 1e-4
    assert said == []


@pytest.mark.parametrize("bits", BITS)
def test_signals_of_a_quantised_base_are_those_of_a_batch_of_one(tmp_path, bits):
    model = quantised(build_model(tmp_path / "model", seed=3), bits)
    pool, target = make_samples(12, 1), make_samples(5, 2)
    optimizer = trained(model, pool)
    notices: list[str] = []
    signals = signals_of(model, optimizer, pool, [target], notices=notices)
    model.eval()
    plain, held = (_stacked(model, rows) for rows in (pool, target))
    np.testing.assert_allclose(signals.products(np.arange(12), np.arange(12), adam=False), plain @ plain.T, rtol=1e-3)
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (plain, held)]
    found = signals.influence(np.arange(12), adam=False)
    np.testing.assert_allclose(found, units[0] @ units[1].mean(axis=0), rtol=1e-3, atol=1e-5)
    assert np.isfinite(signals.influence(np.arange(12))).all()
    assert notices == []


def test_passes_leave_weights_as_training_has_them(tmp_path):
    """On any processor: in eval mode layers of 4 bits may pack their weights, and no gradient passes them then."""
    model = quantised(build_model(tmp_path / "model", seed=3), "nf4").train()
    few = [layer for layer in model.modules() if hasattr(layer, "support_avx512bf16_for_cpu")]
    for layer in few:
        layer.support_avx512bf16_for_cpu = True
    before = [layer.weight.clone() for layer in few]
    with eval_mode(model), torch.no_grad():
        assert not any(layer.training for layer in model.modules() if isinstance(layer, torch.nn.Dropout))
        model(**batch_of(make_samples(2, 1)))
    assert all(layer.training for layer in model.modules())
    assert all(torch.equal(layer.weight, weight) for layer, weight in zip(few, before, strict=True))


@pytest.mark.parametrize("bits", [4, 8])
def test_a_run_over_a_quantised_base_selects(model, data, tmp_path, bits):
    events: list[dict] = []
    every = {"warmup_steps": 1, "update_steps": 2, "flush_seconds": 0}
    args = base_args(model, data, tmp_path, eval_dataset="held", max_steps=5, quantization_bit=bits, dataflex=every)
    train(args, events=events, selector="less")
    assert [d["step"] for d in of_kind(events, "decision")] == [0, 1, 3]
    assert [d["judged"] for d in of_kind(events, "decision")] == [0, 100, 100]
    assert not any("one sample at a time" in e["text"] for e in of_kind(events, "notice"))


def _stacked(model, rows):
    """Batch-of-one gradients, Float[n, parameters]."""
    found = reference_gradients(model, batch_of(rows))
    return torch.cat([grads.flatten(1) for grads in found.values()], dim=1).numpy()
