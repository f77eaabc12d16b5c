"""A tokenizer and a language model small enough to train on two CPU cores in a minute."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

VOCABULARY = 4096
CONTEXT = 256
BOS, EOS, PAD, UNK = "<s>", "</s>", "<pad>", "<unk>"


def write_model(folder: Path, texts: Iterable[str], *, seed: int) -> None:
    """A byte-level BPE tokenizer of ``texts`` and a Llama of some 1.1 million random weights, for `from_pretrained`.

    The tokenizer depends on the texts alone, the weights on ``seed`` alone; the caller's random state is left alone.
    """
    vocabulary = _write_tokenizer(folder, texts)
    _write_weights(folder, vocabulary, seed=seed)


def _write_tokenizer(folder: Path, texts: Iterable[str]) -> int:
    """Returns how many tokens it has, at most ``VOCABULARY``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, EOS, PAD, UNK],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNK,
        model_max_length=CONTEXT,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def _write_weights(folder: Path, vocabulary: int, *, seed: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=True,
        initializer_range=0.08,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
