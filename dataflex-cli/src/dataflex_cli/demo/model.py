"""A tokenizer and a language model small enough to train on two CPU cores in a minute.

The files that `from_pretrained` reads are written as they are, so that neither torch nor transformers is imported and
`dataflex init` answers in a few seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dataflex_cli.demo.files import write_json

VOCABULARY = 4096
CONTEXT = 256
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
_HIDDEN, _INNER, _HEADS, _LAYERS = 128, 352, 4, 3
_SPREAD = 0.08  # of the random weights: wide, so that so few steps teach something


def write_model(folder: Path, texts: Iterable[str], *, seed: int) -> None:
    """A byte-level BPE tokenizer of ``texts``, and a Llama of some 1.1 million random weights decided by ``seed``."""
    folder.mkdir()
    vocabulary = _write_tokenizer(folder, texts)
    _write_weights(folder, vocabulary, seed=seed)


def _write_tokenizer(folder: Path, texts: Iterable[str]) -> int:
    """Returns how many tokens it has, at most ``VOCABULARY``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **SPECIAL,
        "model_max_length": CONTEXT,
        "padding_side": "right",
        "clean_up_tokenization_spaces": False,
    }
    write_json(folder / "tokenizer_config.json", settings)
    return int(tokenizer.get_vocab_size())


def _write_weights(folder: Path, vocabulary: int, *, seed: int) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(seed)
    weights = {
        f"model.{name}.weight": np.ones(shape, np.float32)
        if len(shape) == 1
        else rng.normal(0, _SPREAD, shape).astype(np.float32)
        for name, shape in _shapes(vocabulary)
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokens = {f"{name}_id": index for index, name in enumerate(SPECIAL) if name != "unk_token"}
    write_json(folder / "config.json", {**_architecture(vocabulary), **tokens})
    write_json(folder / "generation_config.json", tokens)


def _shapes(vocabulary: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every weight of a `LlamaForCausalLM` whose output layer is its embedding; vectors are those of norms."""
    yield "embed_tokens", (vocabulary, _HIDDEN)
    for layer in range(_LAYERS):
        for projection in "qkvo":
            yield f"layers.{layer}.self_attn.{projection}_proj", (_HIDDEN, _HIDDEN)
        yield f"layers.{layer}.mlp.gate_proj", (_INNER, _HIDDEN)
        yield f"layers.{layer}.mlp.up_proj", (_INNER, _HIDDEN)
        yield f"layers.{layer}.mlp.down_proj", (_HIDDEN, _INNER)
        yield f"layers.{layer}.input_layernorm", (_HIDDEN,)
        yield f"layers.{layer}.post_attention_layernorm", (_HIDDEN,)
    yield "norm", (_HIDDEN,)


def _architecture(vocabulary: int) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": vocabulary,
        "hidden_size": _HIDDEN,
        "intermediate_size": _INNER,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": _HEADS,
        "num_key_value_heads": _HEADS,
        "max_position_embeddings": CONTEXT,
        "initializer_range": _SPREAD,
        "tie_word_embeddings": True,
    }
