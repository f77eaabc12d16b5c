"""Files and folders that arguments name, to be read: whether they are there, and JSON where they are to be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.llamafactory.args import RESUME, Args
from dataflex_core.llamafactory.keys import declared_types
from dataflex_core.others_files import json_of

_MODELS = ("adapter_name_or_path", "ref_model", "ref_model_adapters", "reward_model", "reward_model_adapters")
_AS_PATH = ("/", "./", "../", "~")
_OF_MODELS = ("config.json", "adapter_config.json", "configuration.json", "params.json")
NOT_RESUMED = frozenset({"", "false", "none", "null"})
"""What ``resume_from_checkpoint`` is set to, in lower case, by who wants to begin anew."""


def is_missing(model: str) -> bool:
    """Whether it is written as a path, or as no name of the hub can be, and nothing is there."""
    is_path = model.startswith(_AS_PATH) or model.count("/") > 1 or any(map(str.isspace, model))
    return is_path and not Path(model).expanduser().exists()


def no_model(model: str) -> str | None:
    """What is wrong with a file or folder that is named as a model; None where nothing is, and for a hub's name."""
    path = Path(model)
    if path.is_file():
        return f"{model} is a file, not a folder with a model"
    if path.is_dir() and not any((path / name).exists() for name in _OF_MODELS) and not any(path.glob("*.gguf")):
        return f"the folder {model} has no config.json"
    return None


def check_files(args: Args) -> Iterator[UsageError]:
    """Adapters and other models, JSON settings and a checkpoint that are named and not there, or cannot be read."""
    for key in _MODELS:
        for name in str(args.get(key) or "").split(","):
            if is_missing(name.strip()):
                hint = "name a folder that is there, or a model of the hub"
                yield InvalidConfig(f"{key}: {name.strip()} does not exist", hint=hint, key=[key])
    for key, value in args.items():
        if isinstance(value, str) and _takes_settings(key) and (wrong := _no_settings(value)) is not None:
            hint = f"name a JSON file, or write its keys below {key}"
            yield InvalidConfig(f"{key}: {wrong}", hint=hint, key=[key])
    if (wrong := no_checkpoint(args)) is not None:
        yield InvalidConfig(f"{RESUME}: {wrong}", hint="name a checkpoint-N folder, or use --resume", key=[RESUME])


def named_checkpoint(args: Args) -> str | None:
    """The checkpoint that ``args`` name to go on from; None where they name none, or the newest."""
    given = args.get(RESUME)
    text = str(given).strip()
    return None if given is None or text.lower() in NOT_RESUMED | {"true"} else text


def no_checkpoint(args: Args) -> str | None:
    """What is wrong with the checkpoint that is named, if any."""
    named = named_checkpoint(args)
    if named is None or Path(named).is_dir():
        return None
    return f"{named} is no folder" if Path(named).exists() else f"{named} does not exist"


def _takes_settings(key: str) -> bool:
    """Whether its type is a section or text: text that does not begin with a brace is a file's name."""
    declared = (declared_types() or {}).get(key)
    names = set() if declared is None else {node.id for node in ast.walk(declared) if isinstance(node, ast.Name)}
    return {"dict", "str"} <= names and "bool" not in names and key != "ray_init_kwargs"  # which is never a file


def _no_settings(value: str) -> str | None:
    if value.lstrip().startswith("{"):
        return _no_json(value, "the JSON")
    if not value.endswith(".json") and not value.startswith(_AS_PATH):
        return None  # DeepSpeed takes settings in base64, too
    path = Path(value).expanduser()
    try:
        return _no_json(path.read_text(encoding="utf-8"), value)
    except FileNotFoundError:
        return f"{value} does not exist"
    except (OSError, UnicodeDecodeError) as error:
        return f"{value} cannot be read: {error}"


def _no_json(text: str, name: str) -> str | None:
    try:
        held = json_of(text)
    except ValueError as error:
        return f"{name} is malformed: {error}"
    return None if isinstance(held, dict) else f"{name} holds no settings"
