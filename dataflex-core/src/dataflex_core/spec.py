"""What a plugin declares about a strategy. Nothing heavy is imported here, nor by declaring."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dataflex_core.errors import StrategyFault


class Kind(StrEnum):
    """The three decisions a run can take about its data."""

    SELECTOR = "selector"
    MIXER = "mixer"
    WEIGHTER = "weighter"


class Need(StrEnum):
    """What a strategy asks of a run. Checked before the model loads."""

    LOSSES = "losses"
    """Per-sample losses of candidates: one forward pass each."""
    GRADIENTS = "gradients"
    """Per-sample gradients of candidates: one forward and one backward pass each."""
    EMBEDDINGS = "embeddings"
    """Hidden states of candidates: one forward pass each."""
    EXPERT_LOADS = "expert loads"
    """Which experts of a mixture candidates' tokens are sent to: one forward pass each, of a mixture of experts."""
    GENERATIONS = "generations"
    """Completions of candidates' prompts: a forward pass for every token, reckoned as one training step."""
    MOMENTS = "moments"
    """The running optimizer's Adam moments, where it keeps them."""
    TARGET_SET = "target set"
    """Samples of what the model should become good at: the run's ``eval_dataset``."""
    HOLDOUT = "held-out samples"
    """Samples of each domain that are kept out of training: the run's ``dataflex.holdout``."""
    TRAINING_LOSSES = "training losses"
    """Per-token losses of the training batches themselves, so the loss may not be a fused kernel.

    It follows from being a weighter, from overriding ``observe`` and from the two needs below: none has to declare it.
    """
    LOSS_WEIGHTS = "loss weights"
    """A mixer's: to weigh the loss of each domain."""
    REFERENCE_LOSSES = "reference losses"
    """The losses of a reference model on the training batches: one forward pass more at each step."""
    TARGET_TOKENS = "target tokens"
    """A weighter's: the tokens that the losses are of, gathered from all ranks."""
    BATCH_EMBEDDINGS = "batch embeddings"
    """A weighter's: hidden states of the training batches, from the forward that trains on them."""


PASSES = frozenset({Need.LOSSES, Need.GRADIENTS, Need.EMBEDDINGS, Need.EXPERT_LOADS, Need.GENERATIONS})
"""What takes a pass over samples at a decision."""
FORWARD = 1 / 3
"""A forward pass, in plain training steps of one sample."""
# The declared cost of judging a sample, that `selection_budget` and the header of a run reckon with.
_COST = {
    Need.LOSSES: FORWARD,
    Need.GRADIENTS: 1.0,
    Need.EMBEDDINGS: FORWARD,
    Need.EXPERT_LOADS: FORWARD,
    Need.GENERATIONS: 1.0,
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OFF = {"none", "null"}  # what leaves a kind of strategy out: on the command line, and in YAML
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySpec:
    """One strategy, as data: what it is called, where it lives, what it needs.

    ``target`` and ``params`` are ``"module:attribute"`` strings, imported only when the strategy is used or described.
    ``params`` names a dataclass whose fields are the strategy's parameters; ``None`` means it has none. ``needs`` are
    those of every use; ``needs_for`` names a function that answers with more for given ``params``. ``cost_of`` names a
    function ``(params, request: CostRequest) -> float | Cost``: what judging one sample costs at a decision, in plain
    training steps of one sample; ``None`` adds up the needs, and a forward for each reference model. A mixer judges
    held-out samples. ``check`` names a function ``(params, request: CheckRequest) -> None`` that raises `UsageError`
    where parameters do not fit the run, as far as that can be said before anything is loaded; ``None`` where all fit.
    ``compares`` is whether a weighter's weight of a sample depends on the others of its window; a weighter that does
    not compare is taken at its word, without a mean to normalise by. ``borderless`` is whether a weighter means
    something where packing leaves no borders between samples, as it does in stage pt: one that weighs tokens.
    ``whole_pool`` is whether a selector must be given all samples at each decision. ``predictable`` is whether most of
    a scoring selector's scores may be predicted from some of them (``dataflex.exact``): not where it keeps what it has
    scored, or chooses by where in the order a score lies.
    Raises `StrategyFault` when a field is malformed.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    params: str | None = None
    reference: str = ""
    needs: frozenset[Need] | Iterable[Need] = frozenset()
    needs_for: str | None = None
    cost_of: str | None = None
    check: str | None = None
    compares: bool = True
    borderless: bool = False
    whole_pool: bool = False
    predictable: bool = True

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", Kind(self.kind))
            object.__setattr__(self, "needs", frozenset(Need(need) for need in self.needs))
        except ValueError as error:
            raise StrategyFault(f"{self.name}: {error}", hint="use the members of Kind and Need") from None
        if not _NAME.fullmatch(self.name):
            raise StrategyFault(f"strategy name {self.name!r} is malformed", hint="lower case words joined by '-'")
        if self.name in _OFF:
            raise StrategyFault(f"{self.name!r} asks for no strategy, and can name none", hint="choose another name")
        for field in (self.target, self.params, self.needs_for, self.cost_of, self.check):
            if field is not None and not _TARGET.fullmatch(field):
                raise StrategyFault(f"{self.name}: {field!r} is malformed", hint="write 'package.module:Name'")
        if len(self.summary.strip().splitlines()) != 1:
            raise StrategyFault(f"{self.name}: summary is not one line", hint="say in one line what the strategy does")

    @property
    def cost(self) -> float:
        """What judging one sample costs by the needs alone, in plain training steps of one sample."""
        return cost_of_needs(self.needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientRule:
    """How to take gradients sample by sample of one kind of layer, as data; see `hooks.Hooks.dataflex_gradient_rules`.

    ``layer`` and ``rule`` are ``"module:attribute"`` strings, imported only where gradients are asked for: the layer's
    class, and the function. Raises `StrategyFault` when one is malformed.
    """

    layer: str
    rule: str

    def __post_init__(self) -> None:
        for field in (self.layer, self.rule):
            if not _TARGET.fullmatch(field):
                raise StrategyFault(f"gradient rule: {field!r} is malformed", hint="write 'package.module:Name'")


def with_implied(kind: Kind, needs: Iterable[Need], *, observes: bool = False) -> frozenset[Need]:
    """``needs``, and what follows from them, from the kind, and from overriding ``observe``."""
    declared = frozenset(needs)
    learns = kind is Kind.WEIGHTER or observes or declared & {Need.LOSS_WEIGHTS, Need.REFERENCE_LOSSES}
    return declared | {Need.TRAINING_LOSSES} if learns else declared


def cost_of_needs(needs: Iterable[Need]) -> float:
    """What judging one sample costs where it takes these, in plain training steps of one sample."""
    return sum(_COST.get(need, 0.0) for need in needs)
