"""Expert loads against the choices that models' own routers make, a sample at a time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from architectures import TEXT, WAYS
from signal_support import make_samples, signals_of
from support import build_model

from dataflex_core.errors import UnmetNeed
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.model_size import experts_of_folder, experts_of_model
from dataflex_core.scoring.expert_loads import routed, shares

pytestmark = pytest.mark.numeric

POOL = make_samples(12, seed=1)
EVERY = np.arange(len(POOL))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_model(tmp_path_factory.mktemp("experts"), seed=3)


def model_of(name, folder, way="full", **sizes):
    model = WAYS[way](TEXT[name].build(**sizes))
    model.folder = folder
    return model


def reference(model, rows):
    """From each layer's own ``router_logits``, of one sample at a time: how often each expert is among the largest."""
    found = []
    for row in rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row["input_ids"]]), output_router_logits=True).router_logits
        chosen = [layer.topk(2, dim=-1).indices.flatten() for layer in logits]
        found.append(torch.cat([torch.bincount(each, minlength=4) / len(each) for each in chosen]))
    return torch.stack(found).numpy()


@pytest.mark.parametrize(
    ("name", "way", "side", "budget"),
    [("mixtral", "full", "right", 96), ("mixtral", "lora", "left", 64), ("qwen2-moe", "full", "left", 500)],
)
def test_they_are_the_shares_of_the_routers_own_choices(folder, name, way, side, budget):
    model = model_of(name, folder, way)
    model.train()
    hooks = [len(module._forward_pre_hooks) for module in model.modules()]
    shard = EVERY[::-1]
    found = signals_of(model, None, POOL, [], side=side, budget=budget).expert_loads(shard)
    assert found.dtype == np.float32
    assert [len(module._forward_pre_hooks) for module in model.modules()] == hooks
    assert model.training
    np.testing.assert_allclose(found.reshape(len(POOL), -1, 4).sum(axis=2), 1, rtol=1e-6)
    np.testing.assert_allclose(found, reference(model.eval(), [POOL[i] for i in shard]), atol=1e-6)


@pytest.mark.parametrize("name", ["deepseek-v2", "deepseek-v3"])
def test_layers_without_experts_are_passed_over(folder, name):
    found = signals_of(model_of(name, folder, num_hidden_layers=3), None, POOL, []).expert_loads(EVERY)
    assert found.shape == (len(POOL), 2 * 4)
    np.testing.assert_allclose(found.reshape(-1, 4).sum(axis=1), 1, rtol=1e-6)


def test_an_empty_shard_has_rows_of_the_same_width(folder):
    assert signals_of(model_of("mixtral", folder), None, POOL, []).expert_loads(EVERY[:0]).shape == (0, 8)


def test_a_dense_model_has_none(folder):
    with pytest.raises(UnmetNeed, match="it is no mixture of experts"):
        signals_of(model_of("llama", folder), None, POOL, []).expert_loads(EVERY)


def test_padding_and_experts_elsewhere_do_not_count():
    index = torch.tensor([[0, 1], [0, 2], [1, 1], [3, 2]])  # two samples of two tokens; 3 is on another device
    mask = torch.tensor([[True, False], [True, True]])
    expected = [[0.5, 0.5, 0.0], [0.0, 0.5, 0.25]]
    np.testing.assert_allclose(shares(index, mask, 3), expected)


class Gated(torch.nn.Module):
    """A model as transformers 4 has them: gates are linear layers, whose place the model declares."""

    def __init__(self):
        super().__init__()
        self._can_record_outputs = {"router_logits": SimpleNamespace(layer_name="mlp.gate")}
        mlp = torch.nn.ModuleDict({"gate": torch.nn.Linear(3, 4, bias=False)})
        self.layers = torch.nn.ModuleList([torch.nn.ModuleDict({"mlp": mlp})])
        told = SimpleNamespace(num_experts_per_tok=1)
        self.config = SimpleNamespace(to_dict=lambda: {"num_experts": 4}, get_text_config=lambda: told)

    def forward(self, input_ids, attention_mask):
        return self.layers[0]["mlp"]["gate"](torch.nn.functional.one_hot(input_ids, 3).float())


def test_where_experts_are_not_fused_a_gate_chooses_by_its_logits():
    model = Gated()
    model.layers[0]["mlp"]["gate"].weight.data = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0], [0.5, 0, 0]])
    batch = {"input_ids": torch.tensor([[0, 1, 0], [2, 2, 0]]), "attention_mask": torch.tensor([[1, 1, 1], [1, 1, 0]])}
    with routed(model) as routers:
        found = routers.loads(model, batch)
    np.testing.assert_allclose(found, [[0, 2 / 3, 1 / 3, 0], [1, 0, 0, 0]], rtol=1e-6)


def test_a_configuration_says_how_many_there_are_before_the_model_loads(model, experts):
    for folder, count in ((model, 0), (experts, 4)):
        assert experts_of_folder(str(folder)) == count
        assert experts_of_model(RunArgs(written={"model_name_or_path": str(folder)})) == count
