"""Settings as text: YAML or JSON files and ``KEY=VALUE`` words, read and merged by OmegaConf."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dataflex_core.errors import InvalidConfig


def read(path: Path) -> dict[str, Any]:
    """The settings in a file. Raises `InvalidConfig` where it holds none, or cannot be read."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if path.suffix.lower() not in {".yaml", ".yml", ".json"}:
        raise InvalidConfig(f"{path} is no YAML or JSON file", hint="name it .yaml, .yml or .json")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidConfig(f"{path} does not exist", hint="dataflex init DIR writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfig(f"{path} cannot be read: {error}") from error
    try:
        # OmegaConf makes a key of a bare word, and reads 1e-3 as the number it is: yaml tells what kind of document
        # this is, OmegaConf what it holds.
        is_json = path.suffix.lower() == ".json"
        loaded = json.loads(text) if is_json else yaml.safe_load(text)
        if not is_json and loaded is None:
            loaded = {}
        if not isinstance(loaded, dict):
            raise InvalidConfig(f"{path} holds no settings", hint="write one 'key: value' a line")
        container = OmegaConf.to_container(OmegaConf.create(loaded if is_json else text))
    except (YAMLError, ValueError, OmegaConfBaseException) as error:
        raise InvalidConfig(f"{path} is malformed: {_one_line(error)}") from error
    if not isinstance(container, dict) or any(not isinstance(key, str) for key in container):
        raise InvalidConfig(f"{path} holds no settings", hint="write one 'key: value' a line")
    return {str(key): value for key, value in container.items()}


def merge(base: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """``base`` with ``KEY=VALUE`` words laid over it, references resolved. Raises `InvalidConfig`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        merged = OmegaConf.merge(OmegaConf.create(dict(base)), OmegaConf.from_dotlist(list(overrides)))
        container = OmegaConf.to_container(merged, resolve=True)
    except (YAMLError, ValueError, TypeError, OmegaConfBaseException) as error:
        key = str(getattr(error, "full_key", None) or "").split(".")
        # From nothing: where the parser stopped is no line of the file.
        where = f"{'.'.join(key)}: " if any(key) else "the overrides cannot be merged: "
        raise InvalidConfig(f"{where}{_one_line(error)}", key=filter(None, key)) from None
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def _one_line(error: Exception) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    # Below its first line OmegaConf names the key and the type of what holds it.
    said = str(error).partition("\n    full_key:")[0]
    return " ".join(said.split())
