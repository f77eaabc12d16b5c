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
    GENERATIONS = "generations"
    """Completions of candidates' prompts: a forward pass for every token, reckoned as one training step."""
    MOMENTS = "moments"
    """The running optimizer's Adam moments, where it keeps them."""
    TARGET_SET = "target set"
    """Samples of what the model should become good at: the run's ``eval_dataset``."""
    TRAINING_LOSSES = "training losses"
    """Per-token losses of the training batches themselves, so the loss may not be a fused kernel."""


# In plain training steps of one sample (a forward is a third of one): the declared cost that
# `selection_budget` and the header of a run reckon with.
_COST = {Need.LOSSES: 1 / 3, Need.GRADIENTS: 1.0, Need.EMBEDDINGS: 1 / 3, Need.GENERATIONS: 1.0}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OFF = {"none", "null"}  # what leaves a kind of strategy out: on the command line, and in YAML
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategySpec:
    """One strategy, as data: what it is called, where it lives, what it needs.

    ``target`` and ``params`` are ``"module:attribute"`` strings, imported only when the strategy is used or described.
    ``params`` names a dataclass whose fields are the strategy's parameters; ``None`` means it has none.
    Raises `StrategyFault` when a field is malformed.
    """

    kind: Kind
    name: str
    target: str
    summary: str
    params: str | None = None
    reference: str = ""
    needs: frozenset[Need] | Iterable[Need] = frozenset()

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
        for field in (self.target, self.params):
            if field is not None and not _TARGET.fullmatch(field):
                raise StrategyFault(f"{self.name}: {field!r} is malformed", hint="write 'package.module:Name'")
        if len(self.summary.strip().splitlines()) != 1:
            raise StrategyFault(f"{self.name}: summary is not one line", hint="say in one line what the strategy does")

    @property
    def cost(self) -> float:
        """Declared cost of judging one sample, in plain training steps of one sample."""
        return sum(_COST.get(need, 0.0) for need in self.needs)
