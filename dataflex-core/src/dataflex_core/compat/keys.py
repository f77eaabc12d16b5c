"""The keys that DataFlex 1.x adds to a LLaMA-Factory file, with its defaults."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Ge, Lt

from dataflex_core.config.messages import messages_by_key
from dataflex_core.errors import InvalidConfig
from dataflex_core.llamafactory.args import MAX_STEPS
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

MIX = "dynamic_mix"
REORDER = "dynamic_reorder"
LEGO = "dynamic_lego"  # a pipeline of components, of several kinds
KINDS = {
    "dynamic_select": Kind.SELECTOR,
    MIX: Kind.MIXER,
    "dynamic_weight": Kind.WEIGHTER,
    REORDER: Kind.SELECTOR,
    LEGO: Kind.SELECTOR,
}
"""The kind that a ``train_type`` decides by; that of a pipeline takes its steps, as a selector does."""
FAMILIES = {**{train_type: kind.value for train_type, kind in KINDS.items()}, REORDER: "reorder", LEGO: "pipeline"}
"""What 1.x calls the components of a ``train_type``; its files have a section of each, in the plural."""
_TYPES = ("static", *KINDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldKeys:
    """What a file of 1.x says, as 1.x reads it. Steps are optimizer steps; 0 or less in ``train_step`` is unset."""

    train_type: str = "static"
    component_name: str | None = None
    components_cfg_file: str = "configs/components.yaml"
    warmup_step: Annotated[int, Ge(0)] = 0
    update_step: Annotated[int, Ge(0)] = 0
    update_times: int = 1
    train_step: int = 0
    static_mix: bool = False
    mixture_sample_rule: Literal["mixture", "stratified", "uniform"] | None = None
    init_mixture_proportions: list[Annotated[float, Ge(0), Lt(math.inf)]] | None = None
    mixer_eval_dataset: str | list[str] | None = None
    freeze_gate: bool = False
    early_stopping_min_delta: Annotated[float, Ge(0)] = 0.0

    @property
    def kind(self) -> Kind | None:
        """What the run decides about; None for ``static``."""
        return KINDS.get(self.train_type)


NAMES = frozenset(field.name for field in fields(OldKeys))
_OF_STEPS = frozenset({"warmup_step", "update_step", "update_times"})
_OF_MIXING = frozenset({"static_mix", "mixture_sample_rule", "init_mixture_proportions", "mixer_eval_dataset"})
_OF_COMPONENTS = frozenset({"component_name", "components_cfg_file"})

# How the keys are spelt where nothing else of the file is of 1.x.
_TODAY = {
    "component_name": "--selector, --mixer or --weighter",
    "warmup_step": "dataflex.warmup_steps",
    "update_step": "dataflex.update_steps",
    "update_times": "dataflex.updates",
    "train_step": MAX_STEPS,
    "static_mix": "--mixer static",
    "init_mixture_proportions": "dataflex.warmup_proportions",
}


def given(args: Iterable[str]) -> list[str]:
    """The keys of 1.x among ``args``, in their order."""
    return [key for key in args if key in NAMES]


def read(args: Mapping[str, Any]) -> OldKeys:
    """The keys of 1.x among ``args``. Raises `InvalidConfig` with every fault in one line."""
    written = {key: args[key] for key in given(args) if args[key] is not None}
    kind = str(written.get("train_type", "static"))
    if kind not in _TYPES:
        raise InvalidConfig(f"train_type {kind!r} is none of DataFlex 1.x's", hint=did_you_mean(kind, _TYPES))
    return typed(OldKeys, written)


def typed(kind: type[T], written: Mapping[str, Any], owner: str = "") -> T:
    """What ``written`` says of the fields of a dataclass; None is as if it were left out.

    Raises `InvalidConfig` with every fault in one line, which begins with the ``owner``, where one is named.
    """
    import pydantic

    names = [field.name for field in fields(kind)]
    given = {key: value for key, value in written.items() if key in names and value is not None}
    try:
        return pydantic.TypeAdapter(kind).validate_python(given)
    except pydantic.ValidationError as error:
        wrong = "; ".join(f"{key}={given[key]!r}: {message}" for key, message in messages_by_key(error).items())
        hint = "write each as DataFlex 1.x takes it, or leave it out for its default there"
        raise InvalidConfig(f"{owner}: {wrong}" if owner else wrong, hint=hint) from None


def idle(old: OldKeys, args: Iterable[str]) -> list[str]:
    """The keys among ``args`` that mean nothing beside the others, in 1.x as here."""
    of_mixing = _OF_MIXING | ({"freeze_gate"} if old.freeze_gate else frozenset())
    if old.kind is None:
        return [key for key in given(args) if key in _OF_STEPS | of_mixing | _OF_COMPONENTS | {"train_step"}]
    if old.kind is Kind.SELECTOR:
        told = {"init_mixture_proportions"} if old.train_type == LEGO else frozenset()
        return [key for key in given(args) if key in of_mixing - told]
    if old.kind is Kind.WEIGHTER:
        return [key for key in given(args) if key in of_mixing | _OF_STEPS - {"warmup_step"}]
    unused = {"mixer_eval_dataset"} - _asked(old) | (_OF_STEPS | _OF_COMPONENTS if old.static_mix else frozenset())
    return [key for key in given(args) if key in unused]


def _asked(old: OldKeys) -> set[str]:
    """Keys of mixing that one component alone reads."""
    return {"mixer_eval_dataset"} if old.component_name == "dynamic_moe" else set()


def refuse_alone(args: Mapping[str, Any]) -> None:
    """Raises `InvalidConfig` for a key of 1.x in a file that is of today in everything else."""
    if "train_type" not in args and (odd := given(args)):
        raise InvalidConfig(
            f"{odd[0]} is a key of DataFlex 1.x, and the run has no train_type",
            hint=f"write {_TODAY[odd[0]]}" if odd[0] in _TODAY else "leave it out, or add train_type",
        )
