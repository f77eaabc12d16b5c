"""Weighters are shown embeddings of the batch that is trained on: from the very forward that trains on it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from support import base_args, train, weights
from transformers import LlamaForCausalLM

from dataflex_core.scoring.embeddings import attended, pooled
from dataflex_core.trainer.batch_states import batch_embeddings
from dataflex_strategies.weighters.adapt import AdaptWeighter

pytestmark = pytest.mark.numeric

COMMON = {"learning_rate": 1e-2, "lora_dropout": 0.0, "eval_dataset": "held"}


def test_they_are_those_of_signals_and_take_no_forward(model, data, tmp_path, monkeypatch):
    shown, asked, forwards = [], {}, []
    prepare, weigh, forward = AdaptWeighter.prepare, AdaptWeighter.weigh, LlamaForCausalLM.forward

    def preparing(self, request):
        prepare(self, request)
        ids = np.arange(len(request.signals))
        asked[request.progress.step] = request.signals.embeddings(ids, pooling="weighted")
        forwards.clear()

    def weighing(self, request, losses):
        shown.append((request.progress.step, request.ids.numpy().copy(), request.embeddings.clone()))
        return weigh(self, request, losses)

    def counting(self, *args, **kwargs):
        forwards.append(self.training)
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(AdaptWeighter, "prepare", preparing)
    monkeypatch.setattr(AdaptWeighter, "weigh", weighing)
    monkeypatch.setattr(LlamaForCausalLM, "forward", counting)
    section = {"dataflex": {"update_steps": 1}}
    train(base_args(model, data, tmp_path, max_steps=5, **COMMON, **section), weighter="adapt")
    assert [step for step, *_ in shown] == [2, 3, 4]
    assert forwards == [True], "the last step's own forward, and no other since its interval began"
    for step, ids, embeddings in shown:
        np.testing.assert_allclose(embeddings, asked[step][ids], rtol=1e-4, atol=1e-5)


def test_weights_by_likeness_go_on_from_the_middle_of_an_interval(model, data, tmp_path):
    """The anchors are of the model as it was when the interval began, however long ago."""
    both = [{"name": "adapt", "tau": 0.05}, {"name": "joint-update", "beta": 1.0}]
    section = {"dataflex": {"weighter": both, "update_steps": 4}}
    saving = {"save_steps": 2, "save_strategy": "steps", "gradient_accumulation_steps": 2, "max_steps": 8}
    common = {**COMMON, **saving, **section, "per_device_train_batch_size": 2, "lora_dropout": 0.1}
    whole = weights(train(base_args(model, data, tmp_path / "whole", **common)))
    again = shutil.copytree(tmp_path / "whole", tmp_path / "again")
    resumed = {**common, "resume_from_checkpoint": str(again / "checkpoint-4")}
    found = weights(train(base_args(model, data, again, **resumed)))
    assert all(torch.equal(found[name], whole[name]) for name in whole)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("packed", [False, True])
def test_padding_counts_for_nothing_on_either_side(model, side, packed):
    """A packed batch has a mask that is added, in which padding is where a token does not see itself."""
    llama = LlamaForCausalLM.from_pretrained(model).eval()
    short = [0, 0, 1, 1, 1, 1] if side == "left" else [1, 1, 1, 1, 0, 0]
    tokens, mask = torch.arange(5, 17).reshape(2, 6), torch.tensor([short, [1] * 6])
    given = mask
    if packed:
        sees = (mask[:, None, :, None] * mask[:, None, None, :]).tril().bool()
        given = torch.where(sees, 0.0, torch.finfo(torch.float32).min)
    inputs = {"input_ids": tokens, "attention_mask": given}
    with torch.no_grad(), batch_embeddings(llama, inputs) as found:
        states = llama.model(**inputs).last_hidden_state
    assert attended(inputs).tolist() == mask.bool().tolist()
    torch.testing.assert_close(found[0], pooled(states, mask, "weighted"))
    assert not found[0].isnan().any()


PACKED = {"packing": True, "cutoff_len": 48, "per_device_train_batch_size": 2, "max_steps": 4}


@pytest.mark.parametrize("packing", ["packing", "neat_packing"])
def test_packed_samples_are_weighed_one_by_one(model, data, tmp_path, monkeypatch, packing):
    seen = []
    weigh = AdaptWeighter.weigh

    def weighing(self, request, losses):
        seen.append((request.ids.tolist(), losses.mask.clone(), request.embeddings.clone()))
        return weigh(self, request, losses)

    monkeypatch.setattr(AdaptWeighter, "weigh", weighing)
    weighters = {
        "dataflex": {"weighter": [{"name": "adapt", "tau": 0.1}, "loss", {"name": "rho-1", "reference_model": "base"}]}
    }
    train(base_args(model, data, tmp_path, **{**COMMON, **PACKED, packing: True}, **weighters), selector="random")
    assert len(seen) == 2, "the warm-up is not weighed"
    for ids, mask, embeddings in seen:
        assert len(ids) > len(set(ids)) == 2, "several samples lie in each of the two rows"
        assert len(mask) == len(embeddings) == len(ids)
        assert (mask.sum(dim=0) <= 2).all(), "to a position of a row one sample belongs at most"
        assert not torch.allclose(embeddings[0], embeddings[1])
