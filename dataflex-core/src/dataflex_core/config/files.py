"""Configurations as text, YAML or JSON files and ``KEY=VALUE`` words, and their merging: all of it is OmegaConf's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dataflex_core.errors import InvalidConfig
from dataflex_core.others_files import told_where_too_deep

_REFERENCE = "give the key that ${...} names, or write the value itself"
_AS_TEXT = "put the key in quotes, or take it out: LLaMA-Factory has none that is no word"
_YAML = "mend it there: indent with spaces, and put text that holds a colon or # in quotes"
_MENDED = {".yaml": _YAML, ".yml": _YAML, ".json": "mend it there: JSON takes no comment, and no comma after the last"}


def read(path: Path) -> dict[str, Any]:
    """The keys and values of a file, references unresolved. Raises `InvalidConfig` where it holds none."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import KeyValidationError, OmegaConfBaseException
    from yaml import YAMLError

    if path.suffix.lower() not in {".yaml", ".yml", ".json"}:
        raise InvalidConfig(f"{path} is no YAML or JSON file", hint="name it .yaml, .yml or .json")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidConfig(f"{path} does not exist", hint="dataflex init DIR writes one to start from") from None
    except (OSError, UnicodeDecodeError) as error:
        hint = "name a file that you may read" if isinstance(error, OSError) else "save it as UTF-8"
        raise InvalidConfig(f"{path} cannot be read: {error}", hint=hint) from error
    try:
        with told_where_too_deep():
            # OmegaConf makes a key of a bare word, and reads 1e-3 as the number it is: yaml tells what kind of document
            # this is, OmegaConf what it holds.
            is_json = path.suffix.lower() == ".json"
            loaded = json.loads(text) if is_json else yaml.safe_load(text)
            if not is_json and loaded is None:
                loaded = {}
            if not isinstance(loaded, dict):
                raise InvalidConfig(f"{path} holds no settings", hint="write one 'key: value' a line")
            _check_keys(path, loaded)
            container = OmegaConf.to_container(OmegaConf.create(loaded if is_json else text))
    except (YAMLError, ValueError, OmegaConfBaseException) as error:
        hint = _MENDED[path.suffix.lower()]
        if isinstance(error, KeyValidationError):
            hint = _AS_TEXT
        elif isinstance(error, OmegaConfBaseException):
            hint = _REFERENCE
        raise InvalidConfig(f"{path} is malformed: {_one_line(error)}", hint=hint) from error
    assert isinstance(container, dict), "it is made of one"
    return {str(key): value for key, value in container.items()}


def _check_keys(path: Path, loaded: dict[Any, Any]) -> None:
    """Raise `InvalidConfig` for a key that is no text: YAML reads 1, null, no and 2024-01-01 as something else."""
    for key in loaded:
        if not isinstance(key, str):
            told = "null" if key is None else str(key).lower()
            raise InvalidConfig(f"{path}: the key {told} is no text", hint=_AS_TEXT)


def parse(word: str) -> tuple[str, Any]:
    """The dotted key and the value of a word ``KEY=VALUE``, which is read as YAML; references stay as they are written.

    Raises `InvalidConfig` where VALUE is no YAML.
    """
    from omegaconf import OmegaConf

    with _merging():
        key, value = word.partition("=")[0], OmegaConf.to_container(OmegaConf.from_dotlist([word]))
        for _ in key.split("."):
            assert isinstance(value, dict)
            (value,) = value.values()
    return key, value


def merge(base: Mapping[str, Any], changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """``base`` with ``changes``, values by their dotted keys, laid over it in their order; references are resolved.

    Raises `InvalidConfig` where a value does not go where its key says, or a reference leads nowhere.
    """
    from omegaconf import OmegaConf

    with _merging():
        over = OmegaConf.create({})
        for key, value in changes:
            OmegaConf.update(over, key, value)
        merged = OmegaConf.merge(OmegaConf.create(dict(base)), over)
        container = OmegaConf.to_container(merged, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def literal(value: Any) -> Any:
    """``value`` such that `merge` gives it back: nothing in its text is a reference."""
    if isinstance(value, Mapping):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    # The backslashes before a reference, too, are read as escapes.
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value


def missing(value: Any, key: tuple[str | int, ...] = ()) -> Iterator[InvalidConfig]:
    """An error for each value that is ``???``, which is how OmegaConf writes one that is still to be given."""
    if value == "???":
        name = ".".join(map(str, key))
        yield InvalidConfig(f"{name} is ???: it is still to be given", hint=f"write {name}", key=key)
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for part, item in items:
        yield from missing(item, (*key, part))


@contextmanager
def _merging() -> Iterator[None]:
    from omegaconf.errors import GrammarParseError, InterpolationResolutionError, OmegaConfBaseException
    from yaml import YAMLError

    try:
        with told_where_too_deep():
            yield
    except (YAMLError, ValueError, TypeError, OmegaConfBaseException) as error:
        key = str(getattr(error, "full_key", None) or "").split(".")
        # From nothing: where the parser stopped is no line of the file.
        where = f"{'.'.join(key)}: " if any(key) else "the overrides cannot be merged: "
        hint = _REFERENCE
        if isinstance(error, YAMLError):
            hint = "write the value as YAML, and KEY=VALUE in quotes for the shell"
        elif not isinstance(error, InterpolationResolutionError | GrammarParseError):
            hint = "write a value of the kind that stands there, or change it in the file"
        raise InvalidConfig(f"{where}{_one_line(error)}", hint=hint, key=filter(None, key)) from None


def _one_line(error: Exception) -> str:
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    if problem and mark:
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"
    # Below its first line OmegaConf names the key and the type of what holds it.
    message = str(error).partition("\n    full_key:")[0]
    return " ".join(message.split())
