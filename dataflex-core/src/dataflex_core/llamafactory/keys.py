"""The keys a LLaMA-Factory configuration may hold, read from its sources without importing them.

Its argument dataclasses sit behind imports of torch and transformers, ten seconds of them; a misspelt key should be
named before that. Where the sources cannot be read the answer is None, and LLaMA-Factory's own check remains.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_ROOTS = ("ModelArguments", "DataArguments", "TrainingArguments", "FinetuningArguments", "GeneratingArguments")
_FILES = (
    ("llamafactory", "hparams/model_args.py"),
    ("llamafactory", "hparams/data_args.py"),
    ("llamafactory", "hparams/training_args.py"),
    ("llamafactory", "hparams/finetuning_args.py"),
    ("llamafactory", "hparams/generating_args.py"),
    ("transformers", "training_args.py"),
    ("transformers", "training_args_seq2seq.py"),
)
# transformers' TrainingArguments and LLaMA-Factory's share a name; the latter reaches the former through this one.
_ALIASES = {"BaseTrainingArguments": "Seq2SeqTrainingArguments"}

LAUNCH_KEYS = frozenset({"use_ray"})
"""What LLaMA-Factory took from a configuration before it took it from the environment."""


def known_keys() -> frozenset[str] | None:
    """Every field of LLaMA-Factory's training arguments, or None where its sources are not as expected."""
    known = declared_types()
    return None if known is None else frozenset(known)


@lru_cache(maxsize=1)
def declared_types() -> Mapping[str, ast.expr] | None:
    """The fields with what they are declared to be, or None where the sources are not as expected."""
    classes: dict[tuple[str, str], ast.ClassDef] = {}
    try:
        for package, file in _FILES:
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                return None
            tree = ast.parse((Path(spec.origin).parent / file).read_text("utf-8"))
            classes.update({(package, node.name): node for node in tree.body if isinstance(node, ast.ClassDef)})
        found: dict[str, ast.expr] = {}
        for root in _ROOTS:
            found |= _fields("llamafactory", root, classes)
    except (OSError, SyntaxError):
        return None
    expected = {"model_name_or_path", "dataset", "learning_rate", "stage", "output_dir", "max_new_tokens"}
    return found if expected <= found.keys() else None


def _fields(package: str, name: str, classes: dict[tuple[str, str], ast.ClassDef]) -> dict[str, ast.expr]:
    name = _ALIASES.get(name, name)
    node = classes.get((package, name)) or classes.get(("transformers", name))
    if node is None:
        return {}
    home = package if (package, name) in classes else "transformers"
    found: dict[str, ast.expr] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= _fields(home, base.id, classes)
    return found | {
        item.target.id: item.annotation
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not _hidden(item)
    }


def _hidden(item: ast.AnnAssign) -> bool:
    """Whether it is no argument: a ClassVar, or ``field(init=False)``."""
    if "ClassVar" in ast.unparse(item.annotation):
        return True
    call = item.value
    if not isinstance(call, ast.Call):
        return False
    return any(k.arg == "init" and isinstance(k.value, ast.Constant) and k.value.value is False for k in call.keywords)
