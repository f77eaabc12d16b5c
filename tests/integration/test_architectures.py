"""Per-sample gradients of many model families, and of plugins' layers, against batch-of-one autograd."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from architectures import TEXT, WAYS, batch_of, disagreement, found_gradients, reference_gradients, with_lora
from signal_support import make_samples

from dataflex_core.catalog import Plugins, discover
from dataflex_core.scoring.gradients import Gradients
from dataflex_core.scoring.rules.registry import for_class

BATCH = batch_of(make_samples(5, 3))
SLOW = {("deepseek-v2", "full")}
"""DeepSeek-V2 multiplies by its gate's weight without calling the gate."""


def check(model, batch=BATCH, rules=()) -> list[str]:
    """Compare a model's gradients with the reference; what was said."""
    said: list[str] = []
    model.eval()
    found = found_gradients(Gradients(model, said.append, rules), batch)
    assert disagreement(found, reference_gradients(model, batch)) < 1e-4
    return said


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TEXT)
def test_gradients_of_a_family_are_those_of_a_batch_of_one(name, way):
    said = check(WAYS[way](TEXT[name].build()))
    assert bool(said) == ((name, way) in SLOW)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"use_rslora": True},
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    ],
    ids=["dora", "rslora", "embeddings", "modules to save"],
)
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_variants_of_lora_are_reached(name, options):
    assert check(with_lora(TEXT[name].build(attention_bias=True), **options)) == []


@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
def test_experts_are_reached_however_they_are_computed(implementation):
    model = TEXT["mixtral"].build()
    model.set_experts_implementation(implementation)
    assert check(model) == []


@pytest.mark.parametrize("trained", ["all", "experts of the first layer"])
@pytest.mark.parametrize("family", ["mixtral", "gpt-oss"])
def test_experts_are_reached_whatever_trains_below_them(family, trained):
    """With nothing below, no gradient passes through them; GPT-OSS has biases, and its weights lie the other way."""
    model = TEXT["mixtral"].build() if family == "mixtral" else _gpt_oss()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_((trained == "all" or ".layers.0." in name) and ".experts." in name)
    assert check(model) == []


def _gpt_oss():
    from transformers import GptOssConfig, GptOssForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    config = GptOssConfig(vocab_size=96, **sizes, **heads, **experts, attn_implementation="eager")
    return GptOssForCausalLM(config).float()


@pytest.mark.numeric
def test_experts_that_are_traced_answer_as_they_do():
    from dataflex_core.scoring.rules.passed import passing

    torch.manual_seed(0)
    for model in (TEXT["mixtral"].build(), _gpt_oss()):
        layer = next(module for module in model.modules() if type(module).__name__.endswith("Experts"))
        hidden = torch.randn(7, 32, requires_grad=True)
        given = (torch.tensor([[0, 2], [1, 0], [2, 0], [0, 1], [1, 2], [2, 1], [0, 1]]), torch.rand(7, 2))
        found, _ = passing(layer, (hidden, *given), {})
        torch.testing.assert_close(found, layer(hidden, *given))


def test_a_parameter_of_which_only_rounding_is_left_does_not_make_it_slow():
    """An OPT's key bias: the same for all keys, so that the softmax does not see it."""
    from transformers import OPTConfig, OPTForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "ffn_dim": 48, "word_embed_proj_dim": 32, "num_hidden_layers": 2}
    assert check(OPTForCausalLM(OPTConfig(vocab_size=96, num_attention_heads=4, **sizes))) == []


# ------------------------------------------------------------------------------------------------ plugins' layers


@pytest.fixture
def plugin():
    """The records of the rules that a plugin file offers, and its module."""
    catalog = discover(plugins=Plugins(files=(Path(__file__).parents[1] / "thirdparty_layers.py",)))
    return catalog.rules, sys.modules["thirdparty_layers"]


def _with_bottlenecks(module):
    model = TEXT["llama"].build()
    torch.manual_seed(4)
    for layer in model.model.layers:
        layer.mlp = torch.nn.Sequential(layer.mlp, module.Bottleneck(32))
    return model


def test_a_plugins_rule_is_followed(plugin):
    (record,), module = plugin
    module.CALLS.clear()
    assert check(_with_bottlenecks(module), rules=[for_class(*record.load(), str(record))]) == []
    assert set(module.CALLS) == {"pair"}


def test_without_it_the_layer_is_run_again(plugin):
    _, module = plugin
    module.CALLS.clear()
    assert check(_with_bottlenecks(module)) == []
    assert module.CALLS == []


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("of_the_wrong_sign", "model.layers.0.mlp.1.pair is not used by its layer alone, or not sample by sample"),
        ("of_another_shape", "theirs answers (2, 3, 32), not (5, 2, 3, 32)"),
        ("that_raises", "theirs fails: KeyError: 'pair'"),
    ],
)
def test_a_plugins_rule_that_is_wrong_is_not_followed(plugin, rule, why):
    _, module = plugin
    theirs = for_class(module.Bottleneck, getattr(module, rule), "theirs")
    (said,) = check(_with_bottlenecks(module), rules=[theirs])
    assert said.endswith(why)


@pytest.mark.parametrize("size", [2, 6, 16, 21])
@pytest.mark.parametrize("rounds", [True, False], ids=["bfloat16", "float32"])
def test_rounding_is_no_reason_to_take_one_sample_at_a_time(rounds, size):
    model = with_lora(TEXT["llama"].build(num_hidden_layers=12)).eval()
    if rounds:
        model.forward = torch.autocast("cpu", dtype=torch.bfloat16)(model.forward)  # as `bf16: true` has it
    said: list[str] = []
    alike = make_samples(1, 3) * size  # of which a difference is rounding alone
    found_gradients(Gradients(model, said.append), batch_of(alike))
    assert said == []
