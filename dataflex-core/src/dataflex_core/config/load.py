"""Read a run's configuration: a LLaMA-Factory YAML or JSON, plus one section ``dataflex:``, plus overrides.

OmegaConf reads and merges, pydantic validates; both are imported when a configuration is read, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from dataflex_core.compat import Translation, translate
from dataflex_core.config.config import SECTION, DataflexConfig, RunConfig
from dataflex_core.config.files import literal, merge, parse, read
from dataflex_core.config.messages import messages_by_key
from dataflex_core.config.overrides import NO_OVERRIDES, Overrides
from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.faults import raise_any
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean


def load_config(
    path: Path | None = None,
    overrides: Overrides = NO_OVERRIDES,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> RunConfig:
    """Read ``path``, lay ``overrides`` over it, validate our section.

    ``notice`` hears what keys of DataFlex 1.x became, where that is not what they were. Raises `InvalidConfig`: one
    line with every fault of our section.
    """
    config, faults = examine_config(path, overrides, notice=notice)
    raise_any(faults)
    return config


def examine_config(
    path: Path | None = None,
    overrides: Overrides = NO_OVERRIDES,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> tuple[RunConfig, tuple[UsageError, ...]]:
    """The configuration as far as it makes sense, defaults in place of what does not, and every fault found.

    Raises `InvalidConfig` where nothing more can be found: a file that cannot be read, text that cannot be merged.
    """
    faults: list[UsageError] = [
        InvalidConfig(f"{word!r} is no override", hint="write KEY=VALUE")
        for word in overrides.words
        if not _is_well_formed(word)
    ]
    merged = merged_config(path, overrides)
    section = merged.section
    for line in merged.notices:
        notice(line)
    for kind in Kind:
        try:
            section[kind.value] = _choice(kind, section.get(kind.value), overrides.named.get(kind))
        except InvalidConfig as error:
            faults.append(error)
            section[kind.value] = None
    for word in overrides.parameter_words:
        try:
            _set_parameter(section, word)
        except InvalidConfig as error:
            faults.append(error)
    return RunConfig(args=merged.args, dataflex=_validated(section, faults)), tuple(faults)


def merged_config(path: Path | None, overrides: Overrides = NO_OVERRIDES) -> Translation:
    """``path`` with its overrides, as it is written but for keys of DataFlex 1.x; malformed words are passed over.

    Raises `InvalidConfig` for a file that cannot be read, and for what cannot be merged.
    """
    base = {} if path is None else read(path)
    _spell_out(base)
    merged = merge(base, list(_changes(overrides, base)))
    section = merged.pop(SECTION, None)
    if section is None:
        section = {}
    if not isinstance(section, dict):
        wrong = f"{SECTION}: is {section!r}, not a section"
        raise InvalidConfig(wrong, hint="write its keys indented below it", key=[SECTION])
    folders = [Path(), *([path.parent] if path is not None else [])]
    return translate(merged, section, strategies=overrides.named, components=lambda name: _components(name, folders))


def _components(name: str, folders: Iterable[Path]) -> tuple[str, dict[str, Any]] | None:
    """A components file of 1.x, by its path from one of ``folders``, or lying in one of them."""
    places = [folder / part for part in dict.fromkeys((name, Path(name).name)) for folder in folders]
    found = next((place for place in places if place.is_file()), None)
    return None if found is None else (str(found), read(found))


def _is_well_formed(word: str) -> bool:
    return re.fullmatch(r"[A-Za-z_][\w.-]*=.*", word, flags=re.DOTALL) is not None


def _spell_out(base: dict[str, Any]) -> None:
    """``selector: less`` and ``dataflex.selector.name=less`` mean the same, and must merge."""
    section = base.get(SECTION)
    if isinstance(section, dict):
        for kind in Kind:
            if isinstance(section.get(kind.value), str):
                section[kind.value] = {"name": section[kind.value]}


def _changes(overrides: Overrides, base: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is laid over ``base``, by dotted key; ``base`` forgets a strategy in whose place a word names another."""
    for kind in overrides.left_out:
        yield f"{SECTION}.{kind}", None
    strategies = {f"{SECTION}.{kind}": kind for kind in Kind}
    for key, value in map(parse, filter(_is_well_formed, overrides.words)):
        if key in strategies and _is_scalar(value):
            _forget_another(base, strategies[key], value)
            yield f"{key}.name", value
        else:
            yield key, value
    for key, value in overrides.values.items():
        yield key, literal(value)


def _is_scalar(value: Any) -> bool:
    """Whether it can be a name, or a wrong one: neither nothing, nor a tree, nor a reference to one."""
    return not (value is None or isinstance(value, dict | list) or "${" in str(value))


def _forget_another(base: dict[str, Any], kind: Kind, name: Any) -> None:
    section = base.get(SECTION)
    chosen = section.get(kind.value) if isinstance(section, dict) else None
    if isinstance(section, dict) and isinstance(chosen, dict) and chosen.get("name") not in (name, None):
        del section[kind.value]


def _choice(kind: Kind, written: Any, flag: str | None) -> dict[str, Any] | None:
    if written is None or isinstance(written, str):
        written = None if written is None else {"name": written}
    elif not isinstance(written, dict):
        key = (SECTION, kind.value)
        raise InvalidConfig(f"{SECTION}.{kind} is {written!r}", hint=f"write {kind}: {{name: NAME}}", key=key)
    chosen: dict[str, Any] | None = written
    if flag is None:
        if written is not None and not isinstance(written.get("name"), str):
            key = (SECTION, kind.value)
            raise InvalidConfig(f"{SECTION}.{kind} has no name", hint=f"write {kind}: {{name: NAME}}", key=key)
        return chosen
    # Parameters in the file belong to the strategy named there: another name starts afresh.
    if written is not None and written.get("name") in (flag, None):
        return {**written, "name": flag}
    return {"name": flag}


def _set_parameter(section: dict[str, Any], word: str) -> None:
    """Lay ``kind.param=value`` over the strategy of that kind. Raises `InvalidConfig` where there is none."""
    kind, _, rest = word.partition(".")
    if kind not in set(Kind) or re.fullmatch(r"[\w.-]+=.*", rest, flags=re.DOTALL) is None:
        kinds = ", ".join(f"{known}.PARAM=VALUE" for known in Kind)
        raise InvalidConfig(f"--set {word} is not understood", hint=f"write one of {kinds}")
    chosen = section.get(kind)
    if chosen is None:
        raise InvalidConfig(f"--set {word}: the run has no {kind}", hint=f"add --{kind} NAME")
    section[kind] = merge(literal(chosen), [parse(rest)])


def _validated(section: dict[str, Any], faults: list[UsageError]) -> DataflexConfig:
    """The section as a value; ``faults`` grow by what is wrong with it, which is left at its default."""
    import pydantic

    known = [f.name for f in fields(DataflexConfig)]
    for key in section:
        if key not in known:
            hint = did_you_mean(str(key), known)
            faults.append(InvalidConfig(f"unknown key {SECTION}.{key}", hint=hint, key=(SECTION, key)))
    given = {key: value for key, value in section.items() if key in known}
    for kind in Kind:
        choice = given.get(kind.value)
        if choice is not None:
            given[kind.value] = {"name": choice["name"], "params": {k: v for k, v in choice.items() if k != "name"}}
    match = re.fullmatch(r"\s*([\d.]+)\s*[x×]\s*", str(given.get("candidates", "")))
    if match:
        given["candidates"] = match[1]
    if section.get("selection_budget") is not None and section.get("candidates", "all") != "all":
        both = "candidates and selection_budget exclude each other"
        faults.append(InvalidConfig(both, hint="set one of them", key=(SECTION, "selection_budget")))
    adapter = pydantic.TypeAdapter(DataflexConfig)
    try:
        return adapter.validate_python(given)
    except pydantic.ValidationError as error:
        wrong = messages_by_key(error)
    for key, message in wrong.items():
        faults.append(InvalidConfig(f"{SECTION}.{key}={given[key]!r}: {message}", key=(SECTION, key)))
    return adapter.validate_python({key: value for key, value in given.items() if key not in wrong})
