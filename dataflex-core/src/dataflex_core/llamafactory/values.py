"""What LLaMA-Factory's keys may be set to, as far as their declared types say so in words that settings are made of.

LLaMA-Factory takes whatever a file holds, and trips over a number that is text only where it counts with it.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex_core.llamafactory.bounds import out_of_bounds
from dataflex_core.llamafactory.keys import declared_types
from dataflex_core.wording import did_you_mean

_SWITCHED = frozenset({"resume_from_checkpoint", "fsdp"})  # text by their types, and true and false all the same

# What somebody means who writes no.
_NO = {"save_strategy": '"no"', "eval_strategy": '"no"', "logging_strategy": '"no"', "report_to": '"none"'}

# LLaMA-Factory or transformers count with these whatever else is set, and null is no number.
_NEEDED = frozenset(
    {
        "dataloader_num_workers",
        "dataset_dir",
        "gradient_accumulation_steps",
        "image_max_pixels",
        "image_min_pixels",
        "learning_rate",
        "max_steps",
        "num_train_epochs",
        "per_device_train_batch_size",
        "seed",
        "video_max_pixels",
        "video_min_pixels",
        "weight_decay",
    }
)
_NAMES_OF_DATA = frozenset({"dataset", "eval_dataset"})
# Text with commas, or a list.
_SPLIT = _NAMES_OF_DATA | {
    "additional_target",
    "apollo_target",
    "freeze_extra_modules",
    "freeze_trainable_modules",
    "galore_target",
    "interleave_probs",
    "lora_target",
    "oft_target",
}
_FOLDERS = frozenset(
    {"cache_dir", "logging_dir", "output_dir", "profiler_output_dir", "swanlab_logdir", "tokenized_path"}
)
# Where a number is no text either: of other keys it may be written as one, a port or the name of a run.
_TEXT = _SPLIT | {"adapter_name_or_path", "dataset_dir", "model_name_or_path", "template"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A number, true or false, or one of ``choices``; null is let through here."""

    number: bool = False
    boolean: bool = False
    choices: tuple[object, ...] = ()

    def __or__(self, other: Accepted) -> Accepted:
        return Accepted(
            number=self.number or other.number,
            boolean=self.boolean or other.boolean,
            choices=self.choices + other.choices,
        )

    def takes(self, value: object) -> bool:
        """Whether ``value`` is one. 1 and 0 pass for true and false; true and false are no numbers."""
        if isinstance(value, bool):
            return self.boolean or value in self.choices
        if isinstance(value, int | float):
            return self.number or (self.boolean and value in (0, 1)) or value in self.choices
        return value is None or value in self.choices

    def json_schema(self) -> dict[str, Any]:
        """The same for editors, which are not told of references: ``${...}`` is text to them."""
        arms: list[dict[str, Any]] = [{"type": "null"}, {"type": "string", "pattern": r"\$\{"}]
        arms += [{"enum": list(self.choices)}] if self.choices else []
        arms += [{"type": "number"}] if self.number else []
        arms += [{"type": "boolean"}] if self.boolean else []
        return {"anyOf": arms}


def accepted(key: str) -> Accepted | None:
    """What ``key`` may be set to; None where its type does not say, as of text, or is not known."""
    declared = (declared_types() or {}).get(key)
    return None if declared is None else _read(declared)


def misfit(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with ``value`` and what to write, or None where nothing is known to be wrong."""
    if key not in (declared_types() or {}):
        return None
    if value is None:
        return (f"{key} is null, and has to have a value", f"write one, or leave {key} out") if key in _NEEDED else None
    allowed = accepted(key)
    if allowed is None:
        return _unworded(key, value)
    if allowed.takes(value):
        return _unnumbered(key, value) if allowed.number else None
    if allowed.choices:
        choices = [str(choice) for choice in allowed.choices]
        return f"{key}={value!r} is none of {', '.join(choices)}", did_you_mean(str(value), choices)
    if allowed.number and isinstance(value, bool):
        return f"{key} is {str(value).lower()}, not a number", "write a number"
    wanted = "a number" if allowed.number else "true or false"
    quotes = isinstance(value, str) and allowed.takes(_without_quotes(value))
    return f"{key}={value!r} is not {wanted}", "write it without quotes" if quotes else f"write {wanted}"


def whole(key: str, value: Any) -> Any:
    """``value`` as LLaMA-Factory counts with it: 1e3, which YAML makes a fraction, is 1000 where ``key`` is a count."""
    declared = (declared_types() or {}).get(key)
    if declared is None or not isinstance(value, float) or not value.is_integer():
        return value
    names = {node.id for node in ast.walk(declared) if isinstance(node, ast.Name)}
    return int(value) if "int" in names and "float" not in names else value


def _unnumbered(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with a value of the right type, as a number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    wanted = out_of_bounds(key, value)
    return None if wanted is None else (f"{key}={value!r} should be {wanted}", f"write {wanted}, or leave {key} out")


def _unworded(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with the value of a key that takes text, lists or sections: a NaN in there, or YAML's booleans."""
    leaves = _leaves(value)
    if any(isinstance(number, float) and math.isnan(number) for number in leaves):
        return f"{key} holds nan, which is not a number", "write a number"
    if (unlike := _unlike(key, value)) is not None:
        return unlike
    held = next((leaf for leaf in leaves if isinstance(leaf, bool)), None)
    if held is None or key in _SWITCHED or not _takes_words_alone(key):
        return None
    others = "yes and on" if held else "no and off"
    wrong = f"{key} is {str(held).lower()}, not a word: YAML reads {others} without quotes as {str(held).lower()}"
    meant = _NO.get(key) if held is False else None
    return wrong, f"quote it: write {key}: {meant}" if meant else "quote the word that is meant"


def _unlike(key: str, value: object) -> tuple[str, str] | None:
    """What is wrong with a list, a section or a number where the key takes something else."""
    names = _names(key)
    if isinstance(value, bool) or (isinstance(value, str) and key != "optim_args"):
        return None
    is_number = isinstance(value, int | float)
    if "dict" in names and not names & {"list", "bool"} and key != "ray_init_kwargs":
        wrong = (is_number or isinstance(value, list)) and value not in (0, [])
        return (f"{key}={value!r} holds no settings", f"write its keys below {key}") if wrong else None
    if names - {"str", "Optional"} or not names:
        return None
    if isinstance(value, str):
        parts = value.replace(" ", "").split(",") if value else []
        wrong = any(part.count("=") != 1 for part in parts)
        return (f"{key}={value!r} does not set anything", "write NAME=VALUE, with commas between") if wrong else None
    if isinstance(value, list) and key in _SPLIT:
        odd = [item for item in value if not isinstance(item, str)] if key in _NAMES_OF_DATA else []
        return (f"{key} holds {odd[0]!r}, which is no name", "write the name as text, in quotes") if odd else None
    if key in _FOLDERS:
        return None  # `places` tells of them
    if isinstance(value, list | Mapping) or (is_number and key in _TEXT):
        what = "a list" if isinstance(value, list) else "a number" if is_number else "a section"
        hint = "write text, with commas between several" if key in _SPLIT else "write text"
        return f"{key}={value!r} is {what}, not text", hint
    return None


def _names(key: str) -> set[str]:
    """Of what its type is made."""
    return {node.id for node in ast.walk((declared_types() or {})[key]) if isinstance(node, ast.Name)}


def _takes_words_alone(key: str) -> bool:
    declared = (declared_types() or {})[key]
    nodes = list(ast.walk(declared))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    switches = any(isinstance(node, ast.Constant) and isinstance(node.value, bool) for node in nodes)
    return not switches and not names & {"bool", "dict", "Any", "int", "float"}


def _leaves(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


def _without_quotes(text: str) -> object:
    if text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _read(declared: ast.expr) -> Accepted | None:
    match declared:
        case ast.Constant(value=None):
            return Accepted()
        case ast.Name(id="int" | "float"):
            return Accepted(number=True)
        case ast.Name(id="bool"):
            return Accepted(boolean=True)
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _either(left, right)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _read(inner)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=arms)):
            return _either(*arms)
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            arms = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return Accepted(choices=tuple(arm.value for arm in arms if isinstance(arm, ast.Constant)))
    return None


def _either(*arms: ast.expr) -> Accepted | None:
    both = Accepted()
    for arm in arms:
        read = _read(arm)
        if read is None:
            return None
        both |= read
    return both
