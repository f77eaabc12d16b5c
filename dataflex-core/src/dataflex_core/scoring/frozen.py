"""Answers of a model that does not train: what question a shelf of the store is for, and samples out of it and into it.

Anything that an answer depends on is in the question: the model's weights and settings, what is asked of it, in what
kind of numbers on what kind of device, and by which code.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from torch import nn

from dataflex_core.collectives import Ranks
from dataflex_core.scoring.answer_files import KEY
from dataflex_core.scoring.fingerprint import digest_of_code, digest_of_tensors, digest_of_text
from dataflex_core.scoring.model_calls import base_of
from dataflex_core.scoring.results import Part
from dataflex_core.scoring.samples import Ids, Samples
from dataflex_core.scoring.sharded import part_of
from dataflex_core.scoring.store import Shelf

# What a configuration says that no answer depends on.
_IDLE = {"_name_or_path", "name_or_path", "transformers_version", "use_cache", "architectures"}
_WRAPPERS = ("base_model.model.", ".base_layer", ".original_module")


def question(digest: str, asked: dict[str, Any], *, computed: str, texts: str = "") -> dict[str, Any]:
    """The description of a shelf: ``asked`` of a model of that ``digest``, ``computed`` in certain numbers.

    ``texts`` is the digest of what samples go through on their way, if anything but the collator.
    """
    return {**asked, "model": digest, "computed": computed, "text": texts, "code": digest_of_code()}


def digest_of_tokenizer(tokenizer: Any) -> str:
    """Digest of all that a tokenizer makes of a text."""
    return digest_of_text(_vocabulary(tokenizer))


def digest_of_frozen(model: nn.Module, *, ranks: Ranks | None = None) -> str | None:
    """Digest of all that ``model`` answers by without its adapter; None where any of that is being trained.

    Collective where ``ranks`` are given: of a model of which each has a part, all of them together.
    """
    prefix = getattr(getattr(model, "base_model", None), "prefix", None) if hasattr(model, "peft_config") else None

    def is_adapters(name: str) -> bool:
        return prefix is not None and (prefix in name or ".modules_to_save." in name)

    if any(parameter.requires_grad for name, parameter in model.named_parameters() if not is_adapters(name)):
        return None
    both = (*model.named_parameters(), *model.named_buffers())
    named = {_plain(name): tensor for name, tensor in both if not is_adapters(name)}
    tensors = digest_of_tensors(
        pair for name in sorted(named) for pair in ((name, part_of(named[name])), *_scales(name, named[name]))
    )
    if ranks is not None:
        every = ranks.gather_arrays(np.frombuffer(tensors.encode(), dtype=np.uint8).copy())
        tensors = digest_of_text(*(each.tobytes().decode() for each in every))
    base: Any = base_of(model)
    said = {key: value for key, value in base.config.to_dict().items() if key not in _IDLE}
    attention = str(getattr(base.config, "_attn_implementation", ""))
    return digest_of_text(tensors, type(base).__name__, json.dumps(said, sort_keys=True, default=str), attention)


def found(shelf: Shelf, samples: Samples, ids: Ids, row: tuple[int, ...] | None) -> Part | None:
    """What the store has of samples ``ids``, None for nothing: rows of that shape, or runs of them where it is None."""
    shelf.refresh()
    keys, keyed = samples.keys(ids)
    known, lengths, values = shelf.find(keys[keyed])
    if not known.any():
        return None
    values = values.astype(np.float32)
    kept = ids[keyed][known]
    if row is None:
        return Part(ids=kept, values=values, lengths=lengths[:, None])
    return Part(ids=kept, values=values.reshape(len(kept), *row))


def added(shelf: Shelf, samples: Samples, part: Part) -> Part:
    """Add results to the store; what a later pass finds of them is what is answered now."""
    keys, keyed = samples.keys(part.ids)
    lengths = (
        np.full(len(part.ids), int(np.prod(part.values.shape[1:]))) if part.lengths is None else part.lengths[:, 0]
    )
    stored = part.values.astype(shelf.dtype)
    index = np.flatnonzero(keyed)
    kept = Part(ids=part.ids, values=stored, lengths=part.lengths).taken(index)
    shelf.add(keys[index].astype(KEY), lengths[index], kept.values.reshape(-1))
    return Part(ids=part.ids, values=stored.astype(np.float32), lengths=part.lengths)


def _plain(name: str) -> str:
    """A parameter's name as it was before adapters were laid around it."""
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def _scales(name: str, tensor: Any) -> list[tuple[str, Any]]:
    """What bitsandbytes keeps beside the codes of a quantised parameter, and they mean nothing without."""
    state, scale = getattr(tensor, "quant_state", None), getattr(tensor, "SCB", None)
    beside = {} if state is None else state.as_dict(packed=True)
    return [*((f"{name}.{key}", value) for key, value in sorted(beside.items())), (f"{name}.SCB", scale)]


def _vocabulary(tokenizer: Any) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return str(backend.to_str()) if backend is not None else json.dumps(sorted(tokenizer.get_vocab().items()))
