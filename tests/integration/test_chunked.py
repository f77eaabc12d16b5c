"""Losses of tokens without whole logits: the same losses and gradients, of any head, in a fraction of the memory."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from architectures import Architecture, collate, with_lora
from signal_support import make_samples
from torch.utils._python_dispatch import TorchDispatchMode

from dataflex_core.scoring import liger
from dataflex_core.scoring.chunked import LARGE, ChunkedLosses, is_large
from dataflex_core.scoring.losses import token_losses
from dataflex_core.scoring.output_head import Behind, behind_head
from dataflex_core.scoring.targets import IGNORE, cross_entropy, next_tokens

pytestmark = pytest.mark.numeric

WIDE = 150_000
LLAMA = Architecture(title="Llama", config="LlamaConfig", settings={})
GEMMA = Architecture(
    title="Gemma 2",
    config="Gemma2Config",
    settings={"head_dim": 8, "sliding_window": 8, "final_logit_softcapping": 0.05},
)
COHERE = Architecture(title="Cohere", config="CohereConfig", settings={"logit_scale": 0.0625})
GRANITE = Architecture(title="Granite", config="GraniteConfig", settings={"logits_scaling": 6.0})
PHI = Architecture(title="Phi", config="PhiConfig", settings={})


def _tied():
    return Architecture(title="Qwen2", config="Qwen2Config", settings={"tie_word_embeddings": True}).build()


def _lora_on_the_head():
    return with_lora(LLAMA.build(), target_modules=["lm_head", "q_proj"])


def _trained_head():
    return with_lora(LLAMA.build(), target_modules=["q_proj"], modules_to_save=["lm_head"])


HEADS = {
    "plain": (LLAMA.build, Behind()),
    "tied": (_tied, Behind()),
    "biased": (PHI.build, Behind()),
    "multiplied": (COHERE.build, Behind(factor=0.0625)),
    "divided": (GRANITE.build, Behind(factor=1 / 6)),
    "softly capped": (GEMMA.build, Behind(cap=0.05)),
    "under LoRA": (_lora_on_the_head, Behind()),
    "trained beside LoRA": (_trained_head, Behind()),
}


def _batch(count=5):
    batch = collate(make_samples(count, 3))
    targets = next_tokens(batch.pop("labels"))
    return batch, targets, (targets != IGNORE).flatten().nonzero().flatten()


def _backward(model, losses):
    """Gradients, by name, of a sum in which no two tokens count the same."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    weights = torch.linspace(0.1, 2.0, losses.numel()).view(losses.shape)
    return dict(zip(parameters, torch.autograd.grad((losses * weights).sum(), list(parameters.values())), strict=True))


def _chunked(model, batch, targets, places, chunks):
    assert chunks.knows(model, lambda: model(**batch))
    with chunks.during(model, targets, places) as found:
        model(**batch)
    return found[0]


@pytest.mark.parametrize("head", HEADS)
def test_losses_and_gradients_are_those_of_whole_logits(head):
    build, behind = HEADS[head]
    model, (batch, targets, places) = build().eval(), _batch()
    torch.nn.init.normal_(bias) if (bias := getattr(model.get_output_embeddings(), "bias", None)) is not None else None
    expected = cross_entropy(model(**batch).logits, targets)
    found = _chunked(model, batch, targets, places, ChunkedLosses())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert behind_head(model, lambda: model(**batch)) == behind
    gradients, whole = _backward(model, found), _backward(model, expected)
    off = {name: float((gradients[name] - whole[name]).norm() / whole[name].norm()) for name in whole}
    assert max(off.values()) < 1e-6, off


class _Widest(TorchDispatchMode):
    """The most elements of a tensor of vocabulary width that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if torch.is_tensor(tensor) and tensor.ndim and tensor.shape[-1] == WIDE:
                self.elements = max(self.elements, tensor.numel())
        return made


def test_no_tensor_of_vocabulary_width_is_an_eighth_of_whole_logits():
    model = LLAMA.build(vocab_size=WIDE, hidden_size=8, num_hidden_layers=1, intermediate_size=8)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, WIDE, (4, 64), generator=generator)
    batch, targets = {"input_ids": ids}, next_tokens(ids)
    places = (targets != IGNORE).flatten().nonzero().flatten()
    chunks = ChunkedLosses()
    assert chunks.knows(model, lambda: model(**batch))
    with _Widest() as whole:
        cross_entropy(model(**batch).logits, targets).sum().backward()
    model.zero_grad()
    with _Widest() as pieces:
        _chunked(model, batch, targets, places, chunks).sum().backward()
    assert whole.elements == ids.numel() * WIDE
    assert pieces.elements <= whole.elements / 8


def test_what_is_done_to_logits_and_not_known_is_left_to_the_model():
    class Masked(type(LLAMA.build())):
        def forward(self, **inputs):
            found = super().forward(**inputs)
            found["logits"] = found["logits"].index_fill(-1, torch.tensor([5]), -1e4)
            return found

    model, (batch, _, _) = Masked(LLAMA.build().config).eval(), _batch()
    told = []
    chunks = ChunkedLosses(fallback=told.append)
    assert not chunks.knows(model, lambda: model(**batch))
    assert not chunks.knows(model, lambda: pytest.fail("asked twice"))
    assert len(told) == 1
    rows = collate(make_samples(5, 3))
    torch.testing.assert_close(token_losses(model, rows, chunks), token_losses(model, rows))


def test_a_model_that_never_calls_its_head_is_not_known():
    class Fused(type(LLAMA.build())):
        def forward(self, **inputs):
            return {"logits": None}

    model = Fused(LLAMA.build().config)
    assert behind_head(model, model) is None


def test_random_numbers_and_hooks_are_left_as_they_were():
    model, (batch, targets, places) = _lora_on_the_head().train(), _batch()
    state = torch.get_rng_state()
    chunks = ChunkedLosses()
    assert chunks.knows(model, lambda: model(**batch))
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError, match="amid"), chunks.during(model, targets, places):
        raise RuntimeError("amid")
    head = model.get_output_embeddings()
    assert not head._forward_hooks
    assert not head._forward_pre_hooks


@pytest.mark.parametrize("lockstep", [False, True])
def test_a_batch_without_a_target_has_no_loss_and_zero_gradients(lockstep):
    model, (batch, targets, places) = LLAMA.build(), _batch()
    chunks = ChunkedLosses(lockstep=lockstep)
    losses = _chunked(model, batch, torch.full_like(targets, IGNORE), places[:0], chunks)
    assert losses.shape == targets.shape
    assert not losses.any()
    assert not any(gradient.any() for gradient in _backward(model, losses).values())


def test_ranks_that_share_a_head_call_it_equally_often():
    model, calls = LLAMA.build(), []
    model.lm_head.register_forward_hook(lambda *_: calls.append(1))
    counts = []
    for count in (1, 9):
        batch, targets, places = _batch(count)
        chunks = ChunkedLosses(lockstep=True)
        assert chunks.knows(model, lambda batch=batch: model(**batch))
        calls.clear()
        _chunked(model, batch, targets, places, chunks).sum().backward()
        counts.append(len(calls))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("head", ["plain", "under LoRA", "trained beside LoRA"])
def test_a_head_whose_frozen_weights_are_gone_behind_each_call_has_the_same_gradients(head):
    """As ZeRO-3 takes them away: what a backward pass needs of them has to be kept."""
    model, (batch, targets, places) = HEADS[head][0]().eval(), _batch()
    layer = model.get_output_embeddings()
    if head == "plain":
        layer.requires_grad_(False)
    whole = _backward(model, cross_entropy(model(**batch).logits, targets))
    chunks = ChunkedLosses(lockstep=True)
    assert chunks.knows(model, lambda: model(**batch))
    frozen = {p: p.data for p in layer.parameters() if not p.requires_grad}

    def given(*_):
        for parameter, data in frozen.items():
            parameter.data = data

    def taken(*_):
        for parameter in frozen:
            parameter.data = torch.empty(0)

    layer.register_forward_pre_hook(given)
    layer.register_forward_hook(taken)
    gradients = _backward(model, _chunked(model, batch, targets, places, chunks))
    assert all(float((gradients[name] - whole[name]).norm() / whole[name].norm()) < 1e-6 for name in whole)
    assert all(
        isinstance(p, torch.nn.Parameter)
        for module in layer.modules()
        for p in module._parameters.values()
        if p is not None
    )


@pytest.mark.parametrize("trains", [False, True])
def test_signals_take_the_same_losses_in_pieces(trains):
    model = (LLAMA.build() if trains else with_lora(LLAMA.build())).eval()
    rows = collate(make_samples(6, 5))
    with torch.no_grad():
        torch.testing.assert_close(token_losses(model, rows, ChunkedLosses()), token_losses(model, rows))


def test_large_logits_are_a_gibibyte_of_float32():
    assert is_large(LARGE // 4 // 1024, 1024)
    assert not is_large(LARGE // 4 // 1024 - 1, 1024)


class _Liger(torch.nn.Module):
    """Liger's module, on a CPU; ``wrong`` as releases are that scale all tokens' gradients by one number."""

    wrong, used = False, 0

    def __init__(self, *, ignore_index, reduction, softcap):
        super().__init__()
        assert reduction == "none"
        self.cap = softcap

    def forward(self, weight, states, targets, bias=None):
        type(self).used += 1
        logits = torch.nn.functional.linear(states, weight, bias)
        logits = logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        return losses.detach() + (losses.mean() - losses.mean().detach()) if self.wrong else losses


@pytest.fixture
def fake_liger(monkeypatch):
    module = types.ModuleType("liger_kernel.transformers")
    module.LigerFusedLinearCrossEntropyLoss = type("Fake", (_Liger,), {})
    monkeypatch.setitem(sys.modules, "liger_kernel", types.ModuleType("liger_kernel"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", module)
    return module.LigerFusedLinearCrossEntropyLoss


@pytest.mark.parametrize(
    ("head", "device", "wrong", "used"),
    [
        ("plain", "cpu", False, True),
        ("biased", "cpu", False, True),
        ("softly capped", "cpu", False, True),
        ("plain", "cpu", True, False),
        ("divided", "cpu", False, False),
        ("under LoRA", "cpu", False, False),
        ("trained beside LoRA", "cpu", False, False),
        ("plain", "cuda", False, False),
    ],
)
def test_ligers_kernel_is_used_where_it_runs_and_is_right(head, device, wrong, used, fake_liger, monkeypatch):
    """On a CPU its kernels do not run: here one stands in that does."""
    monkeypatch.setattr(liger, "RUNS_ON", {device})
    fake_liger.wrong = wrong
    model, (batch, targets, places) = HEADS[head][0]().eval(), _batch()
    chunks = ChunkedLosses(fused=True)
    expected = cross_entropy(model(**batch).logits, targets)
    _chunked(model, batch, targets, places, chunks)
    probed, fake_liger.used = fake_liger.used, 0
    found = _chunked(model, batch, targets, places, chunks)
    assert probed == (2 if used else 1 if wrong else 0), "probed once"
    assert (fake_liger.used == 1) is used
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    gradients, whole = _backward(model, found), _backward(model, expected)
    assert all(float((gradients[name] - whole[name]).norm() / whole[name].norm()) < 1e-6 for name in whole)


def test_no_liger_is_no_kernel(monkeypatch):
    monkeypatch.setattr(liger, "RUNS_ON", {"cpu"})
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    assert liger.kernel_for(torch.device("cpu"), None) is None
