"""The pipelines of DataFlex 1.x, ``dynamic_lego``: several components in one run, here a strategy of each kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from annotated_types import Ge

from dataflex_core.compat.components import Read, component, today, written
from dataflex_core.compat.keys import FAMILIES, KINDS, LEGO, REORDER, OldKeys, typed
from dataflex_core.compat.reorder import CURRICULUM, reordering
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

_TYPES = {family: train_type for train_type, family in FAMILIES.items() if train_type != LEGO}
_LOSS, _ODM = {"family": "selector", "component": "loss", "warmup_step": 10}, {"family": "mixer", "component": "odm"}
_SAW = {"family": "reorder", "component": "dynamic_saw"}
_WEIGHTED = {"family": "weighter", "component": "loss", "warmup_step": 10}
_HALF = {"mode": "filter", "keep_ratio": 0.5}
# 1.1.0's own pipelines.
_SHIPPED: dict[str, dict[str, Any]] = {
    "hierarchical": {
        "stages": [{**_LOSS, **_HALF, "every": 200}, {**_ODM, "every": 50}, {**_SAW, "every": 50}, _WEIGHTED]
    },
    "select_then_reorder": {"stages": [{**_LOSS, **_HALF, "every": 100}, {**_SAW, "every": 20}]},
    "mix_then_weight": {"stages": [{**_ODM, "every": 50}, _WEIGHTED]},
    "select_only": {"stages": [{**_LOSS, "mode": "draw", "every": 1}]},
}
_LOST = {
    "cache_dir": "decisions are kept in output_dir/dataflex",
    "score_batch_size": "dataflex.token_budget bounds a batch",
    "score_num_workers": "dataflex.token_budget bounds a batch",
    "save_plans": "the journal has each plan",
    "seed": "the run's own seed decides",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The strategies by kind, several weighters as a list; columns that one reads; what there is to say."""

    section: dict[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keys:
    """The keys of a stage beside its component."""

    enabled: bool = True
    mode: str = "filter"
    keep_ratio: float = 0.5
    every: Annotated[int, Ge(0)] = 1
    warmup_step: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stage:
    """One component of it: how 1.x calls it, and the keys of the stage."""

    family: str
    name: str
    keys: _Keys

    @property
    def kind(self) -> Kind:
        return KINDS[_TYPES[self.family]]

    @property
    def today(self) -> str:
        """Its strategy's name here."""
        return CURRICULUM if _TYPES[self.family] == REORDER else today(self.name)


def pipeline(
    old: OldKeys,
    domains: Sequence[str],
    elsewhere: Mapping[Kind, str | None],
    read: Read,
    *,
    beside: Callable[[Kind], Collection[str]],
) -> Pipeline:
    """What the pipeline that ``old`` names is here, but for kinds whose strategy is named ``elsewhere``.

    ``beside`` gives the parameters of a kind's strategy in today's keys. Raises `InvalidConfig` for a pipeline that 1.x
    would refuse, and for components that would compute something else here.
    """
    name, params, notices = written(old, _SHIPPED, read)
    stages = list(_stages(name, params.get("stages")))
    said = [*notices, *(f"{key} of pipeline {name}: without effect, {_LOST[key]}" for key in params if key in _LOST)]
    if old.init_mixture_proportions is not None:
        said.append("init_mixture_proportions: without effect, what a mixer begins with is its own to say")
    section: dict[str, Any] = {}
    weighters: list[dict[str, Any]] = []
    chooser = next((stage for stage in stages if stage.family == Kind.SELECTOR), None)
    for stage in stages:
        if elsewhere.get(stage.kind, stage.today) != stage.today:
            continue
        if chooser is not None and _TYPES[stage.family] == REORDER:
            said.append(
                f"reorder {stage.name}: left out, for a run has one selector, and what {chooser.name} chooses is "
                "trained in a shuffled order"
            )
            continue
        alone = replace(old, train_type=_TYPES[stage.family], component_name=stage.name)
        if _TYPES[stage.family] == REORDER:
            order = reordering(alone, read)
            made, found = order.strategy, order.notices
            section |= {"columns": list(order.columns)} if order.columns else {}
        else:
            made, _, found = component(alone, stage.kind, domains, read, beside=beside(stage.kind))
        said += [*found, *_schedule(stage, old)]
        if stage.kind is Kind.WEIGHTER:
            weighters.append(made)
        else:
            section[stage.kind.value] = made
    if weighters:
        section[Kind.WEIGHTER.value] = weighters if len(weighters) > 1 else weighters[0]
    return Pipeline(section=section, notices=tuple(dict.fromkeys(said)))


def _stages(pipeline: str, entries: Any) -> Iterator[_Stage]:
    """Those that are enabled."""
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries) or not entries:
        hint = "write '- {family: FAMILY, component: NAME}' for each below stages"
        raise InvalidConfig(f"pipeline {pipeline} has no stages", hint=hint)
    seen: set[str] = set()
    for entry in entries:
        family, name = str(entry.get("family") or ""), str(entry.get("component") or "")
        if family not in _TYPES or not name:
            hint = did_you_mean(family, _TYPES) if name else "name its component"
            raise InvalidConfig(f"pipeline {pipeline} has a stage of family {family!r}", hint=hint)
        keys = typed(_Keys, entry, f"pipeline {pipeline}: stage {family} {name}")
        if not keys.enabled:
            continue
        if family in seen and family != Kind.WEIGHTER:
            raise InvalidConfig(f"pipeline {pipeline} has two stages of family {family}", hint="leave one of them out")
        seen.add(family)
        yield _Stage(family=family, name=name, keys=keys)


def _schedule(stage: _Stage, old: OldKeys) -> Iterator[str]:
    """What a stage says of when, and of how much, and cannot have its way in."""
    who = f"{stage.family} {stage.name}"
    keys = stage.keys
    if stage.family == Kind.SELECTOR and keys.mode == "filter":
        kept = f"{keys.keep_ratio:g}"
        yield f"mode filter of {who}: it chooses what is trained on; 1.x drew that from the {kept} that it kept"
    if keys.every > old.update_step and stage.kind is not Kind.WEIGHTER:
        yield f"every {keys.every} of {who}: without effect, all decide every update_step of {old.update_step}"
    if keys.warmup_step > old.warmup_step:
        begin = f"all begin after the run's warmup_step of {old.warmup_step}"
        yield f"warmup_step {keys.warmup_step} of {who}: without effect, {begin}"
