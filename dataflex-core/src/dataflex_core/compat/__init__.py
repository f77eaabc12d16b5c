"""Configurations of DataFlex 1.x, spelt anew. Reads nothing itself; what it needs of a file it is handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataflex_core.compat.components import Read, component, today
from dataflex_core.compat.keys import NAMES, OldKeys, given, read, refuse_alone
from dataflex_core.compat.mixture import fixed_mixer, ignores_its_mixer, warmup_of
from dataflex_core.compat.steps import steps_of
from dataflex_core.errors import InvalidConfig
from dataflex_core.llamafactory.checks import dataset_names
from dataflex_core.spec import Kind

__all__ = ["Translation", "translate"]

_OF_MIXING = ("static_mix", "mixture_sample_rule", "init_mixture_proportions", "mixer_eval_dataset")
_OF_COMPONENTS = ("component_name", "components_cfg_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """``args`` for LLaMA-Factory, the ``dataflex:`` section, and a line for whatever is not as it was.

    ``was_old`` is whether any key of 1.x was among them.
    """

    args: dict[str, Any]
    section: dict[str, Any]
    was_old: bool = False
    notices: tuple[str, ...] = ()


def translate(
    args: Mapping[str, Any], section: Mapping[str, Any], *, strategies: Mapping[Kind, str], components: Read
) -> Translation:
    """``args`` and ``section`` with the keys of 1.x among ``args`` spelt anew; without any, as they are.

    What the section says in today's keys, and the ``strategies`` that are asked for, win over the keys of 1.x.
    Raises `InvalidConfig` for what 1.x would refuse too, and for what has no counterpart.
    """
    if not given(args):
        return Translation(args=dict(args), section=dict(section))
    if section or strategies:
        refuse_alone(args)
    old = read(args)
    if old.freeze_gate:
        raise InvalidConfig("freeze_gate has no counterpart", hint="leave it out: the gates are then trained")
    steps = steps_of(old, epochs=args.get("num_train_epochs"), max_steps=args.get("max_steps"))
    made, unused, notices = _decisions(old, args, _elsewhere(section, strategies), components)
    idle = [key for key in given(args) if key in (*unused, *steps.unused)]
    if idle:
        setting = "static_mix" if old.kind is Kind.MIXER and old.static_mix else f"train_type {old.train_type}"
        notices = (f"{', '.join(idle)}: without effect with {setting}, as in 1.x", *notices)
    if old.early_stopping_min_delta:
        notices = (*notices, "early_stopping_min_delta: early stopping takes any improvement for one")
    kept = {key: value for key, value in args.items() if key not in NAMES}
    if steps.max_steps is None:
        kept.pop("max_steps", None)
    else:
        kept["max_steps"] = steps.max_steps
    return Translation(
        args=kept,
        section=_laid_over({**steps.section, **made}, section),
        was_old=True,
        notices=(*steps.notices, *notices),
    )


def _decisions(
    old: OldKeys, args: Mapping[str, Any], elsewhere: Mapping[Kind, str | None], components: Read
) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Strategy and proportions for the section, the keys that mean nothing beside them, and notices."""
    domains, kind = dataset_names(args.get("dataset")), old.kind
    if kind is None:
        return {}, (*_OF_MIXING, *_OF_COMPONENTS), ()
    made: dict[str, Any] = {}
    unused: tuple[str, ...] = _OF_MIXING
    notices: tuple[str, ...] = ()
    fixed: dict[str, Any] | None = None
    if kind is Kind.MIXER:
        unused = ("mixer_eval_dataset",)
        if old.static_mix:
            unused = (*unused, *_OF_COMPONENTS)
        else:
            made["warmup_proportions"] = warmup_of(old, domains)
        if ignores_its_mixer(old):
            fixed = fixed_mixer(old, domains)
    name = today(old.component_name or "") if fixed is None else fixed["name"]
    if elsewhere.get(kind, name) != name:
        return made, unused, ()
    if fixed is None:
        made[kind.value], notices = component(old, kind, domains, components)
        return made, unused, notices
    if not old.static_mix:
        rule = f"mixture_sample_rule {old.mixture_sample_rule}"
        notices = (f"{rule}: fixes the proportions, so component_name is without effect, as in 1.x",)
    return {**made, kind.value: fixed}, unused, notices


def _elsewhere(section: Mapping[str, Any], strategies: Mapping[Kind, str]) -> dict[Kind, str | None]:
    """The kinds whose strategy is named in today's keys, or switched off there."""
    found: dict[Kind, str | None] = {}
    for kind in Kind:
        written = section.get(kind.value)
        name = written.get("name") if isinstance(written, Mapping) else written
        if name is not None or (kind.value in section and written is None):
            found[kind] = name
    return found | dict(strategies)


def _laid_over(made: dict[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """What was translated, below what the section says itself; a strategy's parameters go with its name."""
    merged = {**made, **section}
    for kind in Kind:
        below, above = made.get(kind.value), section.get(kind.value)
        if below is None or above is None:
            continue
        above = dict(above) if isinstance(above, Mapping) else {"name": above}
        if above.get("name", below["name"]) == below["name"]:
            merged[kind.value] = {**below, **above}
    return merged
