"""A run's configuration as a value: LLaMA-Factory's arguments, and our own section ``dataflex:``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal, get_type_hints

from annotated_types import Ge, Gt, Le, Lt, MinLen
from typing_extensions import Doc

from dataflex_core.finite import arms_of
from dataflex_core.spec import Kind

SECTION = "dataflex"


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyChoice:
    """A strategy asked for by name, with its parameters as they were written, not yet validated."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """What of the data may lie on disk outside of checkpoints: numbers that say something of samples, and texts."""

    scores: Annotated[bool, Doc("what was computed of samples: scores, losses, embeddings, gradients")] = True
    texts: Annotated[bool, Doc("texts: of the samples that a report shows, and what a model wrote")] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How a choice by scores is spread, in standard deviations of the candidates' scores."""

    temperature: Annotated[float, Ge(0), Lt(math.inf), Doc("how much chance there is in a choice; 0: none")] = 0.5
    repeats: Annotated[int, Gt(0), Doc("how often a sample may be chosen in a run")] = 3
    penalty: Annotated[
        float, Ge(0), Lt(math.inf), Doc("what each time that a sample was chosen before takes from its score")
    ] = 1.0
    rise: Annotated[
        float, Gt(0), Lt(math.inf), Doc("the temperature of the last decision, as a multiple of the first one's")
    ] = 1.0

    def temperature_at(self, decision: int, decisions: int) -> float:
        """At a decision, from 1, of ``decisions``: it changes by the same step each time."""
        share = (decision - 1) / (decisions - 1) if decisions > 1 else 0.0
        return self.temperature * (1 + (self.rise - 1) * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataflexConfig:
    """The ``dataflex:`` section. Steps are optimizer steps, samples are counted over all ranks.

    ``warmup_steps`` come before the first decision, ``update_steps`` lie between decisions; ``updates`` is the number
    of decisions (None: until LLaMA-Factory's ``max_steps`` or ``num_train_epochs``). A selector judges ``candidates``:
    ``"all"`` of the pool at each decision, or that multiple of what it chooses; ``selection_budget`` is the
    share of the training cost that decisions may take: as many scores are taken as it pays for, the others are
    predicted, or where they cannot be there are fewer candidates. Of these a scoring selector scores ``exact``:
    ``"all"``, or that multiple of what it chooses, and more while the rank correlation of scores with what was
    predicted of them is under ``exact_floor``; the others' scores are predicted from ``features``. ``spread`` lets
    a choice by scores repeat itself less (None: only where scores are predicted). ``exhaustion`` says what happens when
    a domain has too few samples left, ``warmup_proportions`` how the warm-up mixes domains, ``token_budget`` how many
    tokens, padding included, a batch of signals holds (None: as many as a full training batch), ``flush_seconds`` how
    often the results of a long pass are written, so that a killed one repeats no more than that. ``store`` is the
    folder of the answers of models that do not train (None: one of the run's own), ``store_token_losses`` the numbers
    in which those of token losses are kept, ``keep`` what may lie on disk at all. ``allow_changed`` are the parts in
    which a run may differ from the checkpoint that it goes on from. ``columns`` are columns of the data's files that
    strategies may read; the values of ``domain_column`` are the domains, in place of the data sets. ``loss_by_domain``
    is whether the training loss is told by domain: ``"auto"`` where a strategy has losses of tokens taken anyway.
    ``chunked_loss`` is whether losses of tokens are computed without whole logits: ``"auto"`` where these are large, or
    Liger's kernels are on. ``report_texts`` is how many texts of chosen samples each decision shows in trackers that
    have tables of text. ``targets`` are the evaluation data sets that strategies are given as the target set, all of
    them where none is named; by the others the run is evaluated, and nothing is decided. ``holdout`` is the share of
    each domain that is kept out of the pool, and that strategies may ask about (None: nothing is kept out). ``unit`` is
    what a mixer's proportions, and beside one those of the warm-up, are shares of.
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
    exact: Annotated[
        Literal["all"] | Annotated[float, Gt(0), Lt(math.inf)],
        Doc("how many candidates are scored: all, or that multiple of what is chosen; the others are predicted"),
    ] = "all"
    exact_floor: Annotated[
        float, Ge(0), Lt(1), Doc("the rank correlation of prediction and score below which a decision scores more")
    ] = 0.2
    features: Annotated[
        Literal["tokens", "start", "both"],
        Doc("what scores are predicted from: the tokens in a sample, the starting model's hidden states, or both"),
    ] = "tokens"
    spread: Annotated[
        Spread | None, Doc("lets a choice by scores repeat itself less; null: only where scores are predicted")
    ] = None
    exhaustion: Annotated[
        Literal["next-epoch", "renormalise", "error"], Doc("what happens when a domain has too few samples left")
    ] = "next-epoch"
    warmup_proportions: Annotated[
        Literal["size", "uniform"] | dict[str, Annotated[float, Ge(0), Lt(math.inf)]],
        Doc("how the warm-up mixes domains: by size, uniform, or shares by name"),
    ] = "size"
    unit: Annotated[
        Literal["samples", "tokens"],
        Doc("what a mixer's proportions, and those of the warm-up beside one, are shares of: samples or target tokens"),
    ] = "samples"
    token_budget: Annotated[
        Annotated[int, Gt(0)] | None, Doc("tokens in a batch of signals, with padding; null: as in a training batch")
    ] = None
    flush_seconds: Annotated[float, Ge(0), Doc("how often the results of a long pass are written")] = 60.0
    store: Annotated[
        str | None, Doc("folder of the answers of models that do not train; null: output_dir/dataflex/store")
    ] = None
    store_token_losses: Annotated[
        Literal["float32", "float16"], Doc("the numbers in which stored losses of tokens are kept")
    ] = "float32"
    keep: Annotated[Keep, Doc("what of the data may lie on disk outside of checkpoints")] = field(default_factory=Keep)
    allow_changed: Annotated[
        tuple[Literal["strategies", "parameters", "schedule", "data"], ...],
        Doc("the parts in which a run may differ from the checkpoint that it goes on from"),
    ] = ()
    columns: Annotated[
        tuple[Annotated[str, MinLen(1)], ...], Doc("columns of the data's files that strategies may read")
    ] = ()
    loss_by_domain: Annotated[
        Literal["auto"] | bool, Doc("the training loss of each domain; auto: where losses of tokens are taken anyway")
    ] = "auto"
    chunked_loss: Annotated[
        Literal["auto"] | bool,
        Doc("losses of tokens without whole logits; auto: where these are large, or Liger's kernels are on"),
    ] = "auto"
    report_texts: Annotated[
        Annotated[int, Gt(0), Le(1000)] | None,
        Doc("texts of chosen samples that a decision shows in trackers that have tables; null: none"),
    ] = None
    domain_column: Annotated[
        Annotated[str, MinLen(1)] | None, Doc("the column whose values are the domains; null: the data sets are")
    ] = None
    targets: Annotated[
        tuple[Annotated[str, MinLen(1)], ...],
        Doc("the evaluation data sets that are the target set; none named: all, and others are evaluated on alone"),
    ] = ()
    holdout: Annotated[
        Annotated[float, Gt(0), Lt(1)] | None,
        Doc("the share of each domain that is kept out of training, for mixers that go by its loss; null: none"),
    ] = None
    selector: Annotated[StrategyChoice | None, Doc("which samples the next steps train on")] = None
    mixer: Annotated[StrategyChoice | None, Doc("in what proportion of domains")] = None
    weighter: Annotated[
        tuple[StrategyChoice, ...], Doc("with what weight in the loss; the weights of several are multiplied")
    ] = ()

    def choices(self, kind: Kind) -> tuple[StrategyChoice, ...]:
        """The strategies of that kind that were asked for, in their order: of weighters alone several."""
        chosen: tuple[StrategyChoice, ...] | StrategyChoice | None = getattr(self, kind.value)
        if isinstance(chosen, tuple):
            return chosen
        return () if chosen is None else (chosen,)

    def choice(self, kind: Kind, position: int = 0) -> StrategyChoice | None:
        """The strategy of that kind at ``position``, from 0, if it was asked for."""
        chosen = self.choices(kind)
        return chosen[position] if position < len(chosen) else None

    @property
    def predicts(self) -> bool:
        """Whether scores of candidates are to be predicted; a selection budget may have them predicted as well."""
        return self.exact != "all"

    def spreading(self, *, predicts: bool) -> Spread | None:
        """How choices by scores are spread, where scores are predicted or not; None where they are not spread."""
        return Spread() if self.spread is None and predicts else self.spread

    @property
    def active(self) -> tuple[Kind, ...]:
        """The kinds asked for. None: the run is plain LLaMA-Factory."""
        return tuple(kind for kind in Kind if self.choices(kind))


GROUPS = {
    key: [inner.name for inner in fields(arm)]
    for key, hint in get_type_hints(DataflexConfig, include_extras=True).items()
    for arm in arms_of(hint)
    if key not in set(Kind) and is_dataclass(arm)
}
"""Keys of the section that hold keys of their own, and these; strategies' are those of their parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A whole run: ``args`` for LLaMA-Factory, and our own section."""

    args: Mapping[str, Any]
    dataflex: DataflexConfig

    def to_plain(self) -> dict[str, Any]:
        """As JSON has it: ``args`` and, below `SECTION`, our section; `from_plain` reads it without any check."""
        return {**self.args, SECTION: asdict(self.dataflex)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> RunConfig:
        """What `to_plain` made, by way of JSON or not: nothing is merged, resolved or validated."""
        section = dict(plain[SECTION])
        for kind in (Kind.SELECTOR, Kind.MIXER):
            choice = section[kind.value]
            section[kind.value] = None if choice is None else StrategyChoice(**choice)
        section[Kind.WEIGHTER.value] = tuple(StrategyChoice(**choice) for choice in section[Kind.WEIGHTER.value])
        section["allow_changed"], section["columns"] = tuple(section["allow_changed"]), tuple(section["columns"])
        section["targets"] = tuple(section["targets"])
        section["keep"] = Keep(**section["keep"])
        section["spread"] = None if section["spread"] is None else Spread(**section["spread"])
        args = {key: value for key, value in plain.items() if key != SECTION}
        return cls(args=args, dataflex=DataflexConfig(**section))
