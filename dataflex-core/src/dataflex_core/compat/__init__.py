"""Configurations of DataFlex 1.x, spelt anew. Reads nothing itself; what it needs of a file it is handed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex_core.compat.components import Read, component, today
from dataflex_core.compat.keys import LEGO, MIX, NAMES, REORDER, OldKeys, given, idle, read, refuse_alone
from dataflex_core.compat.mixture import fixed_mixer, ignores_its_mixer, warmup_of
from dataflex_core.compat.pipeline import pipeline
from dataflex_core.compat.reorder import CURRICULUM, reordering
from dataflex_core.compat.steps import steps_of, without_warmup
from dataflex_core.llamafactory.args import MAX_STEPS, RunArgs
from dataflex_core.spec import Kind

__all__ = ["Translation", "translate"]


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
    args: Mapping[str, Any],
    section: Mapping[str, Any],
    *,
    strategies: Mapping[Kind, str | None],
    components: Read,
    settings: Iterable[str] = (),
) -> Translation:
    """``args`` and ``section`` with the keys of 1.x among ``args`` spelt anew; without any, as they are.

    What the section says in today's keys, and the ``strategies`` that are asked for, win over the keys of 1.x; None
    stands for several of a kind. ``settings`` are the parameters, as ``kind.name``, that are set beside both.
    Raises `InvalidConfig` for what 1.x would refuse too, and for what has no counterpart.
    """
    if not given(args):
        return Translation(args=dict(args), section=dict(section))
    if section or strategies:
        refuse_alone(args)
    old = read(args)
    beside = RunArgs(written=args)
    steps = steps_of(old, epochs=beside.epochs, max_steps=beside.max_steps)
    made, said, ordered_at_once = _decisions(
        old,
        beside.datasets,
        _elsewhere(section, strategies),
        components,
        beside=lambda kind: _set_for(kind, section, settings),
    )
    if ordered_at_once:
        steps = without_warmup(steps)
    notices = list(steps.notices)
    if unused := idle(old, args):
        setting = "static_mix" if old.kind is Kind.MIXER and old.static_mix else f"train_type {old.train_type}"
        notices.append(f"{', '.join(unused)}: without effect with {setting}, as in 1.x")
    notices.extend(said)
    if old.freeze_gate and old.train_type == MIX and beside.trains_gates:
        notices.append(
            "freeze_gate: without effect, gates train like all else; 1.x froze each parameter with gate in its name. "
            "Adapters whose lora_target names no such layer leave them as they are"
        )
    if old.early_stopping_min_delta:
        notices.append("early_stopping_min_delta: without effect, any improvement keeps early stopping away")
    kept = {key: value for key, value in args.items() if key not in NAMES}
    if steps.max_steps is None:
        kept.pop(MAX_STEPS, None)
    else:
        kept[MAX_STEPS] = steps.max_steps
    merged = _laid_over({**steps.section, **made}, section)
    return Translation(args=kept, section=merged, was_old=True, notices=tuple(notices))


def _decisions(
    old: OldKeys,
    domains: Sequence[str],
    elsewhere: Mapping[Kind, str | None],
    components: Read,
    *,
    beside: Callable[[Kind], Collection[str]],
) -> tuple[dict[str, Any], tuple[str, ...], bool]:
    """Proportions of the warm-up and the strategy, unless that is named elsewhere; notices; whether it orders at once.

    An order that is made once begins with the first step, and needs no warm-up. ``beside`` gives the parameters of a
    kind's strategy in today's keys.
    """
    kind = old.kind
    if kind is None:
        return {}, (), False
    if old.train_type == LEGO:
        several = pipeline(old, domains, elsewhere, components, beside=beside)
        return several.section, several.notices, False
    if old.train_type == REORDER:
        if elsewhere.get(kind, CURRICULUM) != CURRICULUM:
            return {}, (), False
        order = reordering(old, components)
        columns = {"columns": list(order.columns)} if order.columns else {}
        return {**columns, kind.value: order.strategy}, order.notices, order.at_once
    made: dict[str, Any] = {}
    if kind is Kind.MIXER and not old.static_mix:
        made["warmup_proportions"] = warmup_of(old, domains)
    fixed = fixed_mixer(old, domains) if kind is Kind.MIXER and ignores_its_mixer(old) else None
    name = today(old.component_name or "") if fixed is None else fixed["name"]
    if elsewhere.get(kind, name) != name:
        return made, (), False
    if fixed is None:
        strategy, of_run, notices = component(old, kind, domains, components, beside=beside(kind))
        return {**made, **of_run, kind.value: strategy}, notices, False
    if old.static_mix:
        return {**made, kind.value: fixed}, (), False
    said = f"mixture_sample_rule {old.mixture_sample_rule}: fixes the proportions, so component_name is without effect"
    return {**made, kind.value: fixed}, (f"{said}, as in 1.x",), False


def _set_for(kind: Kind, section: Mapping[str, Any], settings: Iterable[str]) -> set[str]:
    """The parameters of the strategy of ``kind`` that are given in today's keys."""
    written = section.get(kind.value)
    of_kind = (name.partition(".") for name in settings)
    return {*(written if isinstance(written, Mapping) else ()), *(name for who, _, name in of_kind if who == kind)}


def _elsewhere(section: Mapping[str, Any], strategies: Mapping[Kind, str | None]) -> dict[Kind, str | None]:
    """The kinds whose strategy is named in today's keys, or switched off there."""
    found: dict[Kind, str | None] = {}
    for kind in Kind:
        written = section.get(kind.value)
        name = written.get("name") if isinstance(written, Mapping) else written
        if isinstance(written, list):  # several, as 1.x never had
            found[kind] = None
        elif name is not None or (kind.value in section and written is None):
            found[kind] = name
    return found | dict(strategies)


def _laid_over(made: dict[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """What was translated, below what the section says itself; a strategy's parameters go with its name."""
    merged = {**made, **section}
    for kind in Kind:
        below, above = made.get(kind.value), section.get(kind.value)
        if below is None or above is None or isinstance(above, list) or isinstance(below, list):
            continue
        above = dict(above) if isinstance(above, Mapping) else {"name": above}
        if above.get("name", below["name"]) == below["name"]:
            merged[kind.value] = {**below, **above}
    return merged
