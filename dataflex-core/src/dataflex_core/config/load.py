"""Read a run's configuration: a LLaMA-Factory YAML or JSON, plus one section ``dataflex:``, plus overrides.

OmegaConf reads and merges, pydantic validates; both are imported when a configuration is read, not before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

from typing_extensions import Doc

from dataflex_core.compat import Translation, translate
from dataflex_core.config.files import literal, merge, missing, parse, read
from dataflex_core.config.messages import messages_by_key
from dataflex_core.config.overrides import NO_OVERRIDES, Overrides, key_of
from dataflex_core.config.positions import Key
from dataflex_core.config.section import GROUPS, SECTION, DataflexConfig, RunConfig
from dataflex_core.config.several import by_position, dotted, has_several, listed, position_in
from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.faults import raise_any
from dataflex_core.finite import misnumbered
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

_TYPES = get_type_hints(DataflexConfig, include_extras=True)
_MEANINGS = {
    key: item.documentation
    for key, hint in _TYPES.items()
    for item in getattr(hint, "__metadata__", ())
    if isinstance(item, Doc)
}


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

    Raises `InvalidConfig` where nothing more can be found: a file that cannot be read, text that cannot be merged,
    values that are still to be written.
    """
    faults: list[UsageError] = [
        InvalidConfig(f"{word!r} is no override", hint="write KEY=VALUE")
        for word in overrides.words
        if not _is_well_formed(word)
    ]
    merged = merged_config(path, overrides)
    section = merged.section
    raise_any(_still_to_be_given({**merged.args, SECTION: section}, overrides))
    for line in merged.notices:
        notice(line)
    for kind in Kind:
        try:
            section[kind.value] = _choices(kind, section.get(kind.value), overrides.named.get(kind))
        except InvalidConfig as error:
            faults.append(error)
            section[kind.value] = []
    for word in overrides.parameter_words:
        try:
            _set_parameter(section, word)
        except InvalidConfig as error:
            faults.append(error)
    return RunConfig(args=merged.args, dataflex=_validated(section, faults)), tuple(faults)


def _still_to_be_given(merged: dict[str, Any], overrides: Overrides) -> Iterator[UsageError]:
    """An error for each value that is ``???``, where it was laid over another, too: that other would count."""
    given = {key_of(key): value for key, value in map(parse, filter(_is_well_formed, overrides.words))}
    for word in overrides.parameter_words:
        name, _, value = word.partition("=")
        given[SECTION, *key_of(name)] = value
    found = [*(fault for key, value in given.items() for fault in missing(value, key)), *missing(merged)]
    yield from {fault.key: fault for fault in found}.values()


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
    if (written := section.get(Kind.WEIGHTER.value)) is not None:
        section[Kind.WEIGHTER.value] = listed(written)
    named = {kind: names[0] if len(names) == 1 else None for kind, names in overrides.named.items()}
    return translate(
        merged,
        section,
        strategies=named,
        components=lambda name: _components(name, folders),
        settings=[word.partition("=")[0] for word in overrides.parameter_words],
    )


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
        if Kind.WEIGHTER.value in section:
            section[Kind.WEIGHTER.value] = by_position(section[Kind.WEIGHTER.value])


def _changes(overrides: Overrides, base: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is laid over ``base``, by dotted key; ``base`` forgets a strategy in whose place a word names another."""
    for kind in overrides.left_out:
        yield f"{SECTION}.{kind}", None
    strategies = {f"{SECTION}.{kind}": kind for kind in Kind}
    for key, value in map(parse, filter(_is_well_formed, overrides.words)):
        if key in strategies and _is_scalar(value):
            _forget_another(base, strategies[key], value)
            yield f"{key}.name", value
        elif key == f"{SECTION}.{Kind.WEIGHTER}" and isinstance(value, list):
            _forget(base, Kind.WEIGHTER)
            yield key, by_position(value)
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
    if isinstance(chosen, dict) and (has_several(chosen) or chosen.get("name") not in (name, None)):
        _forget(base, kind)


def _forget(base: dict[str, Any], kind: Kind) -> None:
    section = base.get(SECTION)
    if isinstance(section, dict):
        section.pop(kind.value, None)


def _choices(kind: Kind, written: Any, names: tuple[str, ...] | None) -> list[dict[str, Any]]:
    """The strategies of a kind, each a mapping with its name; ``names`` take the place of what is written.

    Raises `InvalidConfig` for what is no strategy.
    """
    several = kind is Kind.WEIGHTER and isinstance(written, list) and len(written) > 0
    items = written if several else [] if written is None else [written]
    given = [
        _strategy(item, (SECTION, kind.value, place) if several else (SECTION, kind.value))
        for place, item in enumerate(items)
    ]
    if names is None:
        for place, one in enumerate(given):
            if not isinstance(one.get("name"), str):
                key = (SECTION, kind.value, place) if several else (SECTION, kind.value)
                raise InvalidConfig(f"{dotted(key)} has no name", hint=f"write {kind}: {{name: NAME}}", key=key)
        return given
    return [_renamed(given, name) for name in names]


def _strategy(written: Any, key: Key) -> dict[str, Any]:
    if isinstance(written, str):
        return {"name": written}
    if not isinstance(written, dict):
        hint = f"write {key[1]}: {{name: NAME}}"
        if isinstance(written, bool):  # what YAML makes of no, off, yes and on
            hint += f", {key[1]}: null for none, or quote its name"
        raise InvalidConfig(f"{dotted(key)} is {written!r}", hint=hint, key=key)
    return written


def _renamed(given: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The first of ``given`` that is called so, or not named, which is taken out; else ``name`` without parameters.

    Parameters in the file belong to the strategy named there: another name starts afresh.
    """
    same = next((place for place, one in enumerate(given) if one.get("name") in (name, None)), None)
    return {"name": name} if same is None else {**given.pop(same), "name": name}


def _set_parameter(section: dict[str, Any], word: str) -> None:
    """Lay ``kind.param=value`` over the strategy of that kind. Raises `InvalidConfig` where there is none, or several.

    ``weighter.position.param=value`` names one of several weighters.
    """
    kind, _, rest = word.partition(".")
    if kind not in set(Kind) or re.fullmatch(r"[\w.-]+=.*", rest, flags=re.DOTALL) is None:
        kinds = ", ".join(f"{known}.PARAM=VALUE" for known in Kind)
        raise InvalidConfig(
            f"--set {word} is not understood",
            hint=f"write one of {kinds}; a key of the configuration is given without --set, as KEY=VALUE",
        )
    chosen = section[kind]
    if not chosen:
        raise InvalidConfig(f"--set {word}: the run has no {kind}", hint=f"add --{kind} NAME")
    position, rest = position_in(kind, len(chosen), rest, f"--set {word}")
    chosen[position] = merge(literal(chosen[position]), [parse(rest)])


def _validated(section: dict[str, Any], faults: list[UsageError]) -> DataflexConfig:
    """The section as a value; ``faults`` grow by what is wrong with it, which is left at its default."""
    import pydantic

    section = _named(section)
    known = [f.name for f in fields(DataflexConfig)]
    for key in section:
        if key not in known:
            hint = did_you_mean(str(key), known)
            faults.append(InvalidConfig(f"unknown key {SECTION}.{key}", hint=hint, key=(SECTION, key)))
    given = {key: value for key, value in section.items() if key in known}
    for group, names in GROUPS.items():
        if isinstance(written := given.get(group), dict):
            for key in [key for key in written if key not in names]:  # pydantic would pass it over
                unknown, at = f"unknown key {SECTION}.{group}.{key}", (SECTION, group, key)
                faults.append(InvalidConfig(unknown, hint=did_you_mean(str(key), names), key=at))
            given[group] = {key: value for key, value in written.items() if key in names}
    for kind in Kind:
        made = [
            {"name": one["name"], "params": {key: value for key, value in one.items() if key != "name"}}
            for one in given[kind.value]
        ]
        given[kind.value] = made if kind is Kind.WEIGHTER else next(iter(made), None)
    match = re.fullmatch(r"\s*([\d.]+)\s*[x×]\s*", str(given.get("candidates", "")))
    if match:
        given["candidates"] = match[1]
    if section.get("selection_budget") is not None and section.get("candidates", "all") != "all":
        both = "candidates and selection_budget exclude each other"
        faults.append(InvalidConfig(both, hint="set one of them", key=(SECTION, "selection_budget")))
    adapter, wrong = pydantic.TypeAdapter(DataflexConfig), _misnumbered(given)
    try:
        valid = adapter.validate_python(given)
    except pydantic.ValidationError as error:
        wrong = {**messages_by_key(error), **wrong}
    if not wrong:
        return valid
    for key, message in wrong.items():
        meaning = f" for its default; it says {_MEANINGS[key]}" if key in _MEANINGS else ""
        hint = f"leave {key} out{meaning}"
        faults.append(InvalidConfig(f"{SECTION}.{key}={given[key]!r}: {message}", hint=hint, key=(SECTION, key)))
    return adapter.validate_python({key: value for key, value in given.items() if key not in wrong})


def _named(value: Any) -> Any:
    """``value`` with names that YAML reads as whole numbers as they were written: domains may be called so."""
    if isinstance(value, dict):
        return {str(key) if type(key) is int else key: _named(inner) for key, inner in value.items()}
    return [_named(inner) for inner in value] if isinstance(value, list) else value


def _misnumbered(given: dict[str, Any]) -> dict[str, str]:
    """What is wrong with numbers that pydantic takes all the same, by key of the section: true, infinity."""
    found = {key: next(misnumbered(_TYPES[key], value), None) for key, value in given.items()}
    return {key: wrong for key, wrong in found.items() if wrong is not None}
