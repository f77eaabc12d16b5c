"""Tiny random models of many families, trained with LoRA or as a whole, and samples for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from dataflex_core.scoring.gradients import Gradients
from dataflex_core.scoring.samples import Batch

VOCABULARY = 96

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
_LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
    "n_routed_experts": 4,
    "n_group": 1,
    "topk_group": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A family: its name for people, and its configuration from ``settings``."""

    title: str
    config: str
    settings: dict[str, Any]

    def build(self, **sizes: Any) -> Any:
        """A model of it with random weights, of ``sizes`` where they are given."""
        import transformers

        config = getattr(transformers, self.config)(**{**_SIZES, **self.settings, **sizes})
        torch.manual_seed(1)
        return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")


TEXT = {
    "llama": Architecture(title="Llama", config="LlamaConfig", settings={}),
    "qwen2": Architecture(title="Qwen2", config="Qwen2Config", settings={}),
    "qwen3": Architecture(title="Qwen3", config="Qwen3Config", settings={"head_dim": 8}),
    "gemma2": Architecture(title="Gemma 2", config="Gemma2Config", settings={"head_dim": 8, "sliding_window": 8}),
    "gemma3": Architecture(title="Gemma 3", config="Gemma3TextConfig", settings={"head_dim": 8, "sliding_window": 8}),
    "gpt2": Architecture(
        title="GPT-2", config="GPT2Config", settings={"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
    ),
    "mixtral": Architecture(title="Mixtral", config="MixtralConfig", settings={**_EXPERTS, "num_local_experts": 4}),
    "qwen2-moe": Architecture(
        title="Qwen2-MoE",
        config="Qwen2MoeConfig",
        settings={**_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 24, "decoder_sparse_step": 1},
    ),
    "deepseek-v2": Architecture(
        title="DeepSeek-V2 (MLA)", config="DeepseekV2Config", settings={**_EXPERTS, **_LATENT, "n_shared_experts": 1}
    ),
    "deepseek-v3": Architecture(
        title="DeepSeek-V3 (MLA)", config="DeepseekV3Config", settings={**_EXPERTS, **_LATENT, "n_shared_experts": 1}
    ),
}


def with_lora(model: Any, **options: Any) -> Any:
    """The model with LoRA on every linear layer, as LLaMA-Factory's ``lora_target: all`` has it; ``B`` is not zero."""
    from peft import LoraConfig, get_peft_model

    options = {"target_modules": "all-linear", **options}
    torch.manual_seed(2)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_dropout=0.1, task_type="CAUSAL_LM", **options))
    wrapped.enable_input_require_grads()
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name or "lora_embedding" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return wrapped


def whole(model: Any) -> Any:
    """The model, all of which trains."""
    return model.requires_grad_(True)


WAYS: dict[str, Callable[[Any], Any]] = {"lora": with_lora, "full": whole}


def collate(rows: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Text samples, padded on the right to a multiple of 8."""
    width = -(-max(len(row["input_ids"]) for row in rows) // 8) * 8
    fill = {"input_ids": 0, "labels": -100, "attention_mask": 0}
    return {
        key: torch.tensor([[*row[key], *[value] * (width - len(row[key]))] for row in rows])
        for key, value in fill.items()
    }


def batch_of(rows: list[Any], collate: Callable[[list[Any]], Any] = collate) -> Batch:
    """The samples as the engine hands them to whoever differentiates."""
    return Batch(collate(list(rows)), alone=lambda index: batch_of(rows[index : index + 1], collate))


def found_gradients(gradients: Gradients, batch: Batch) -> dict[str, torch.Tensor]:
    """Every sample's gradients of every trainable parameter, Float32[B, *shape]."""
    size = len(batch["input_ids"])
    found = {p: torch.zeros(size, *p.shape, device=p.device) for p in gradients.parameters.values()}
    for parameter, rows, part in gradients.of(batch):
        found[parameter][rows] += part
    return {name: found[p] for name, p in gradients.parameters.items()}


def reference_gradients(model: Any, batch: Batch) -> dict[str, torch.Tensor]:
    """The same by plain autograd, a batch of one at a time: of the model's own logits, all of them."""
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    rows = []
    for index in range(len(batch["input_ids"])):
        alone = dict(batch.alone(index))
        labels = alone.pop("labels")[0, 1:]
        loss = torch.nn.functional.cross_entropy(model(**alone).logits[0, :-1].float(), labels)
        grads = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        rows.append([torch.zeros_like(p) if g is None else g for p, g in zip(parameters.values(), grads, strict=True)])
    return {name: torch.stack(found) for name, found in zip(parameters, zip(*rows, strict=True), strict=True)}


def disagreement(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The largest distance of a sample's gradient of one parameter, in norms of what is expected; NaN for any NaN.

    What is smaller than a thousandth of the sample's whole gradient is measured by that thousandth.
    """
    squares = {name: grads.flatten(1).square().sum(dim=1) for name, grads in expected.items()}
    floor = torch.stack(list(squares.values())).sum(dim=0) * 1e-6
    off = [
        (found[name] - grads).flatten(1).square().sum(dim=1) / torch.maximum(squares[name], floor)
        for name, grads in expected.items()
    ]
    return float(torch.stack(off).max().sqrt())
