"""A run's configuration: a LLaMA-Factory YAML or JSON, plus one section ``dataflex:``, plus overrides.

OmegaConf reads and merges, pydantic validates; both are imported when a configuration is read, not before.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from dataflex_core.compat import Translation, translate
from dataflex_core.config.files import merge, read
from dataflex_core.config.messages import by_key
from dataflex_core.errors import InvalidConfig, UsageError
from dataflex_core.faults import raise_any
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

SECTION = "dataflex"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChoice:
    """A strategy asked for by name, with its parameters as they were written, not yet validated."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataflexConfig:
    """The ``dataflex:`` section. Steps are optimizer steps, samples are counted over all ranks.

    ``warmup_steps`` come before the first decision, ``update_steps`` lie between decisions; ``updates`` is the number
    of decisions (None: until LLaMA-Factory's ``max_steps`` or ``num_train_epochs``). A selector judges ``candidates``:
    ``"all"`` of the pool at each decision, or that multiple of what it chooses; ``selection_budget`` derives the
    multiple from the share of the training cost that decisions may take. ``exhaustion`` says what happens when a
    domain has too few samples left, ``warmup_proportions`` how the warm-up mixes domains, ``token_budget`` how many
    tokens, padding included, a batch of signals holds (None: as many as a full training batch), ``flush_seconds`` how
    often the results of a long pass are written, so that a killed one repeats no more than that. ``allow_changed`` are
    the parts in which a run may differ from the checkpoint that it goes on from.
    """

    warmup_steps: Annotated[int, Ge(0), Doc("optimizer steps before the first decision")] = 10
    update_steps: Annotated[int, Gt(0), Doc("optimizer steps between decisions")] = 10
    updates: Annotated[Annotated[int, Gt(0)] | None, Doc("how many decisions; null: until training ends")] = None
    candidates: Annotated[
        Literal["all"] | Annotated[float, Ge(1)],
        Doc("what a selector judges at a decision: all of the pool, or that multiple of what it chooses"),
    ] = "all"
    selection_budget: Annotated[
        Annotated[float, Gt(0), Le(100)] | None,
        Doc("instead of candidates: the share of an interval's training cost that a decision may take"),
    ] = None
    exhaustion: Annotated[
        Literal["next-epoch", "renormalise", "error"], Doc("what happens when a domain has too few samples left")
    ] = "next-epoch"
    warmup_proportions: Annotated[
        Literal["size", "uniform"] | dict[str, Annotated[float, Ge(0), Lt(math.inf)]],
        Doc("how the warm-up mixes domains: by size, uniform, or shares by name"),
    ] = "size"
    token_budget: Annotated[
        Annotated[int, Gt(0)] | None, Doc("tokens in a batch of signals, with padding; null: as in a training batch")
    ] = None
    flush_seconds: Annotated[float, Ge(0), Doc("how often the results of a long pass are written")] = 60.0
    allow_changed: Annotated[
        tuple[Literal["strategies", "parameters", "schedule", "data"], ...],
        Doc("the parts in which a run may differ from the checkpoint that it goes on from"),
    ] = ()
    selector: Annotated[StrategyChoice | None, Doc("which samples the next steps train on")] = None
    mixer: Annotated[StrategyChoice | None, Doc("in what proportion of domains")] = None
    weighter: Annotated[StrategyChoice | None, Doc("with what weight in the loss")] = None

    def choice(self, kind: Kind) -> StrategyChoice | None:
        """The strategy of that kind, if one was asked for."""
        chosen: StrategyChoice | None = getattr(self, kind.value)
        return chosen

    @property
    def active(self) -> tuple[Kind, ...]:
        """The kinds asked for. None: the run is plain LLaMA-Factory."""
        return tuple(kind for kind in Kind if self.choice(kind) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A whole run: ``args`` for LLaMA-Factory, and our own section."""

    args: Mapping[str, Any]
    dataflex: DataflexConfig

    def to_json(self) -> str:
        """The merged configuration as text that `load_config` reads back."""
        section = {f.name: getattr(self.dataflex, f.name) for f in fields(DataflexConfig) if f.name not in set(Kind)}
        for kind in self.dataflex.active:
            choice = self.dataflex.choice(kind)
            assert choice is not None
            section[kind.value] = {"name": choice.name, **choice.params}
        return json.dumps({**self.args, SECTION: section}).replace("${", r"\\${")


def load_config(
    path: Path | None = None,
    overrides: Iterable[str] = (),
    *,
    strategies: Mapping[Kind, str] | None = None,
    settings: Iterable[str] = (),
    notice: Callable[[str], None] = lambda _: None,
) -> RunConfig:
    """Read ``path``, merge ``KEY=VALUE`` overrides, strategy flags and ``kind.param=value`` settings; validate.

    ``notice`` hears what keys of DataFlex 1.x became, where that is not what they were. Raises `InvalidConfig`: one
    line with every fault of our section.
    """
    config, faults = examine(path, overrides, strategies=strategies, settings=settings, notice=notice)
    raise_any(faults)
    return config


def examine(
    path: Path | None = None,
    overrides: Iterable[str] = (),
    *,
    strategies: Mapping[Kind, str] | None = None,
    settings: Iterable[str] = (),
    notice: Callable[[str], None] = lambda text: None,
) -> tuple[RunConfig, tuple[UsageError, ...]]:
    """The configuration as far as it makes sense, defaults in place of what does not, and every fault found.

    Raises `InvalidConfig` where nothing more can be said: a file that cannot be read, text that cannot be merged.
    """
    faults: list[UsageError] = []
    merged = merged_config(path, _well_formed(overrides, faults), strategies=strategies)
    section = merged.section
    for line in merged.notices:
        notice(line)
    for kind in Kind:
        name = (strategies or {}).get(kind)
        try:
            section[kind.value] = _choice(kind, section.get(kind.value), name)
        except InvalidConfig as error:
            faults.append(error)
            section[kind.value] = None
    for setting in settings:
        try:
            _apply_setting(section, setting)
        except InvalidConfig as error:
            faults.append(error)
    return RunConfig(args=merged.args, dataflex=_validated(section, faults)), tuple(faults)


def merged_config(
    path: Path | None, overrides: Iterable[str] = (), *, strategies: Mapping[Kind, str] | None = None
) -> Translation:
    """``path`` with its overrides, as it is written but for keys of DataFlex 1.x. Raises `InvalidConfig`."""
    base = {} if path is None else read(path)
    _spell_out(base)
    merged = merge(base, _spelled_out(overrides, base))
    section = merged.pop(SECTION, None)
    if section is None:
        section = {}
    if not isinstance(section, dict):
        wrong = f"{SECTION}: is {section!r}, not a section"
        raise InvalidConfig(wrong, hint="write its keys indented below it", key=[SECTION])
    folders = [Path(), *([path.parent] if path is not None else [])]
    return translate(merged, section, strategies=strategies or {}, components=lambda name: _components(name, folders))


def _components(name: str, folders: Iterable[Path]) -> tuple[str, dict[str, Any]] | None:
    """A components file of 1.x, by its path from one of ``folders``, or lying in one of them."""
    places = [folder / part for part in dict.fromkeys((name, Path(name).name)) for folder in folders]
    found = next((place for place in places if place.is_file()), None)
    return None if found is None else (str(found), read(found))


def _well_formed(overrides: Iterable[str], faults: list[UsageError]) -> list[str]:
    words = []
    for word in overrides:
        if re.fullmatch(r"[A-Za-z_][\w.-]*=.*", word, flags=re.DOTALL):
            words.append(word)
        else:
            faults.append(InvalidConfig(f"{word!r} is no override", hint="write KEY=VALUE"))
    return words


def _spell_out(base: dict[str, Any]) -> None:
    """``selector: less`` and ``dataflex.selector.name=less`` mean the same, and must merge."""
    section = base.get(SECTION)
    if isinstance(section, dict):
        for kind in Kind:
            if isinstance(section.get(kind.value), str):
                section[kind.value] = {"name": section[kind.value]}


def _spelled_out(overrides: Iterable[str], base: dict[str, Any]) -> list[str]:
    """``dataflex.selector=less`` as ``dataflex.selector.name=less``; ``base`` forgets a strategy of another name."""
    section = base.get(SECTION)
    words = []
    for word in overrides:
        match = re.fullmatch(rf"{SECTION}\.({'|'.join(Kind)})=([\w./-]+)", word)
        if match is None or match[2].lower() in {"null", "~"}:
            words.append(word)
            continue
        kind, name = match.groups()
        chosen = section.get(kind) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(chosen, dict) and chosen.get("name") not in (name, None):
            del section[kind]
        words.append(f"{SECTION}.{kind}.name={name}")
    return words


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


def _apply_setting(section: dict[str, Any], setting: str) -> None:
    match = re.fullmatch(r"(\w+)\.([\w.-]+)=(.*)", setting, flags=re.DOTALL)
    if match is None or match[1] not in set(Kind):
        kinds = ", ".join(f"{kind}.PARAM=VALUE" for kind in Kind)
        raise InvalidConfig(f"--set {setting} is not understood", hint=f"write one of {kinds}")
    chosen = section.get(match[1])
    if chosen is None:
        raise InvalidConfig(f"--set {setting}: the run has no {match[1]}", hint=f"add --{match[1]} NAME")
    section[match[1]] = merge(chosen, [f"{match[2]}={match[3]}"])


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
        seen = by_key(error)
    for key, said in seen.items():
        faults.append(InvalidConfig(f"{SECTION}.{key}={given[key]!r}: {said}", key=(SECTION, key)))
    return adapter.validate_python({key: value for key, value in given.items() if key not in seen})
