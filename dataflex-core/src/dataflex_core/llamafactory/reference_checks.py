"""Whether a reference model can be loaded, and reads tokens as the model in training does, from its files alone.

What cannot be told from files that lie here, such as a model of the hub, is left to the load, which is strict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dataflex_core.errors import UnmetNeed
from dataflex_core.llamafactory.args import Args
from dataflex_core.llamafactory.files import is_missing
from dataflex_core.others_files import json_of
from dataflex_core.references import BASE
from dataflex_core.spec import StrategySpec

_CAUSAL = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def check_references(args: Args, spec: StrategySpec, references: Mapping[str, str]) -> Iterator[UnmetNeed]:
    """What is wrong with the models that parameters of the strategy of ``spec`` name; ``references`` are by parameter.

    A reference is `BASE`, a folder with a causal language model, or a name of the hub.
    """
    for parameter, name in references.items():
        if name == BASE:
            continue
        wrong = _missing(name) or _unfit(Path(name)) or _differing(str(args.get("model_name_or_path", "")), name)
        if wrong is not None:
            said, hint = wrong
            yield UnmetNeed(
                f"{spec.kind} {spec.name}: {parameter} {name} {said}",
                hint=hint,
                key=("dataflex", spec.kind.value, parameter),
            )


Wrong = tuple[str, str]  # what is wrong, and what to do


def _missing(name: str) -> Wrong | None:
    if Path(name).exists() or not is_missing(name):
        # A home that only a shell would find: a model is loaded from the name as it is written.
        return ("does not exist", "write the folder out, without ~") if name.startswith("~") else None
    return "does not exist", f"name a folder that is there, a model of the hub, or {BASE}"


def _unfit(folder: Path) -> Wrong | None:
    """Why a causal language model cannot be loaded from ``folder``; None, too, where it is no path of this machine."""
    if not folder.exists():
        return None
    another = "name the folder of a causal language model"
    if not folder.is_dir():
        return "is not a folder", another
    if (folder / "adapter_config.json").exists():
        return "is an adapter, not a whole model", "merge it into its model first: llamafactory-cli export"
    if not (folder / "config.json").exists():
        return "has no config.json", another
    config = _mapping(folder / "config.json")
    if config is None:
        return "has a config.json that cannot be read", "copy the model again"
    if not _is_causal(config):
        return f"is no causal language model, but {_architectures(config)}", another
    return _without_weights(folder)


def _is_causal(config: Mapping[str, Any]) -> bool:
    """Whether it loads as one with the head that it was trained with; a configuration that does not say passes."""
    mapped = config.get("auto_map")
    if isinstance(mapped, Mapping) and "AutoModelForCausalLM" in mapped:
        return True
    names = config.get("architectures")
    fits = not isinstance(names, list) or not names or any(str(name).endswith(_CAUSAL) for name in names)
    return fits and config.get("is_encoder_decoder") is not True


def _architectures(config: Mapping[str, Any]) -> str:
    names = config.get("architectures")
    return ", ".join(map(str, names)) if isinstance(names, list) and names else "an encoder and a decoder"


def _without_weights(folder: Path) -> Wrong | None:
    again = "copy the model again"
    for name in _INDEXES:
        index = _mapping(folder / name)
        parts = index.get("weight_map") if index is not None else None
        if isinstance(parts, Mapping):
            lost = sorted(part for part in set(map(str, parts.values())) if not (folder / part).exists())
            return (f"lacks {', '.join(lost)} of its weights", again) if lost else None
    if any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
        return None
    return "has no weights: neither *.safetensors nor *.bin", again


def _differing(ours: str, theirs: str) -> Wrong | None:
    """Why a reference at ``theirs`` cannot read what the model at ``ours`` is trained on: tokens of ours are others.

    It may have more than ours. None, too, where one of the two vocabularies does not lie here in a form that is known.
    """
    mine, known = vocabulary(Path(ours)), vocabulary(Path(theirs), whole=True)
    if mine is None or known is None:
        return None
    odd = next((token for token, index in mine.items() if known.get(token) != index), None)
    if odd is None:
        return None
    there = f"is {known[odd]} in it" if odd in known else "is not in it"
    said = f"has another vocabulary than the model in training: token {odd!r} is {mine[odd]} there and {there}"
    return said, "use a model of the same family"


def vocabulary(folder: Path, *, whole: bool = False) -> Mapping[str, int] | None:
    """The tokens of a tokenizer's files with their indices, or None where they are in no form that is known.

    ``whole`` counts those that ``added_tokens.json`` and ``tokenizer_config.json`` add, which a tokenizer may take up.
    """
    found = _of_tokenizer(_mapping(folder / "tokenizer.json")) or _indices(_mapping(folder / "vocab.json"))
    if not found or not whole:
        return found or None
    added = _indices(_mapping(folder / "added_tokens.json")) or {}
    config = _mapping(folder / "tokenizer_config.json") or {}
    decoder = config.get("added_tokens_decoder")
    for index, token in decoder.items() if isinstance(decoder, Mapping) else ():
        if isinstance(token, Mapping) and str(index).isdigit():
            added[str(token.get("content"))] = int(index)
    return {**added, **found}


def _of_tokenizer(content: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Of a ``tokenizer.json``: BPE, WordLevel and WordPiece have indices by token, Unigram pieces in their order."""
    model = content.get("model") if content is not None else None
    if content is None or not isinstance(model, Mapping):
        return None
    vocab = model.get("vocab")
    if isinstance(vocab, list):
        found: dict[str, int] | None = {str(piece[0]): index for index, piece in enumerate(vocab)}
    else:
        found = _indices(vocab)
    if found is not None:
        added: Iterable[Any] = content.get("added_tokens") or ()
        found |= {str(token["content"]): token["id"] for token in added if isinstance(token.get("id"), int)}
    return found


def _indices(content: Any) -> dict[str, int] | None:
    """``content`` where it maps tokens to indices, else None."""
    if not isinstance(content, Mapping) or not all(isinstance(index, int) for index in content.values()):
        return None
    return {str(token): index for token, index in content.items()}


def _mapping(file: Path) -> dict[str, Any] | None:
    try:
        content = json_of(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
