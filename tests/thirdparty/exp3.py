"""Online data mixing by a bandit: domains as arms, losses as rewards (Albalak et al., 2023, arXiv:2312.02406)."""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt
from typing import Annotated

from annotated_types import Interval
from typing_extensions import Doc

from dataflex_core import Kind, Mixer, StrategySpec, hookimpl


@hookimpl
def dataflex_strategies():
    """The one strategy of this file."""
    does = "a bandit that draws more from domains whose losses are high"
    yield StrategySpec(kind=Kind.MIXER, name="exp3", target="exp3:Exp3", params="exp3:Params", summary=does)


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    """How long a reward counts."""

    memory: Annotated[float, Interval(ge=0, lt=1), Doc("what of an estimate stays at each step, α")] = 0.9


class Exp3(Mixer[Params]):
    """Proportions from running estimates of the domains' losses, each step a turn of the bandit."""

    def setup(self, context):
        import numpy as np

        self.turns, self.rewards = 0, np.zeros(len(context.domains))

    def observe(self, step):
        self.turns += 1
        seen = (step.tokens_by_domain > 0) & (step.proportions > 0)
        means = step.loss_by_domain[seen] / step.tokens_by_domain[seen]
        self.rewards[seen] += (1 - self.params.memory) * (means / step.proportions[seen] - self.rewards[seen])

    def mix(self, request):
        import numpy as np

        arms = len(self.rewards)
        before, now = exploring(self.turns - 1, arms), exploring(self.turns, arms)
        raised = np.exp(before * (self.rewards - self.rewards.max()))
        return (1 - arms * now) * raised / raised.sum() + now

    def state_dict(self):
        return {"turns": self.turns, "rewards": self.rewards.copy()}

    def load_state_dict(self, state):
        self.turns, self.rewards = state["turns"], state["rewards"].copy()


def exploring(turn: int, arms: int) -> float:
    """The least proportion of each of ``arms`` after ``turn`` turns, ε."""
    return 1 / arms if turn < 1 else min(1 / arms, sqrt(log(arms) / (arms * turn)))
