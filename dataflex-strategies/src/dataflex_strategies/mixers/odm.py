"""Online data mixing: a bandit, with domains as arms and losses as rewards (Albalak, 2023, arXiv:2312.02406)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Interval
from typing_extensions import Doc

from dataflex_core import Mixer, MixRequest, Mixture, Need, SetupContext, StepFacts
from dataflex_strategies.mixers.held_out import held_out_losses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class OdmParams:
    """How long a reward counts, and how much is explored."""

    alpha: Annotated[float, Interval(ge=0, lt=1), Doc("what of an estimate stays at a reward, α")] = 0.9
    reward: Annotated[
        Literal["loss", "holdout"], Doc("the losses of each step, or at each decision those of dataflex.holdout")
    ] = "loss"
    exploration: Annotated[
        float, Interval(gt=0, le=1), Doc("the part of all draws that is uniform at first; the paper's is 1")
    ] = 1.0


def needs(params: OdmParams) -> set[Need]:
    """Held-out samples and their losses, where these are the rewards."""
    return {Need.HOLDOUT, Need.LOSSES} if params.reward == "holdout" else set()


class OdmMixer(Mixer[OdmParams]):
    """Draws more from domains whose losses are high, learning from every step: Exp3 without a reference or a pass.

    Each optimizer step is a turn t of the bandit, warm-up included. For each domain k that it drew, with L the mean
    loss of the domain's target tokens over all ranks, before any weight, and π the proportions in force::

        R̂_k ← α·R̂_k + (1 − α)·L/π_k
        ε_t = min(x/K, √(ln K / (K·t))),  ε_0 = x/K        x is ``exploration``
        π   = (1 − K·ε_t) · softmax(ε_{t−1}·R̂) + ε_t

    so that every domain keeps at least ε_t, however low its loss. The proportions of an interval are those of its
    start. Figures of each decision: ``exploration`` K·ε_t, the part that is uniform, and ``reward/DOMAIN``, R̂.

    With ``reward: holdout`` each decision is a turn, at which all domains are rewarded, L being the mean loss of a
    target token of a domain's held-out samples (``dataflex.holdout``) and π the proportions until then. They cost a
    forward pass each, and say what a domain that is read many times, or that no step drew, has still to lose.

    By the paper's formula the mixture is exactly uniform for K·ln K steps: 3 of three domains, 148 of forty. A run that
    is not much longer explores and no more. ``exploration: 0.5`` leaves half of the draws to the estimates from the
    first step on; its floor begins to fall after K·ln K/x² steps. Departs from the paper in these two alone, where they
    are asked for, and in that one step may draw from several domains, each of which is rewarded.

    When to use: where proportions are to be found in the run that uses them, at no cost beyond token losses. A high
    loss is taken for something to learn: a domain of noise, which cannot be learnt, is drawn most. Leave such data out,
    or use `doremi`, whose reference model knows it.
    """

    def setup(self, context: SetupContext) -> None:
        """Nothing is known of any domain."""
        import numpy as np

        self._turns, self._rewards = 0, np.zeros(len(context.domains))

    def observe(self, step: StepFacts) -> None:
        """A turn: reward the domains that the step drew."""
        import numpy as np

        if self.params.reward == "loss":
            tokens = step.tokens_by_domain
            means = np.divide(step.loss_by_domain, tokens, out=np.full(len(tokens), np.nan), where=tokens > 0)
            self._turn(means, step.proportions)

    def mix(self, request: MixRequest) -> Mixture:
        """The bandit's policy after so many turns."""
        if self.params.reward == "holdout":
            self._turn(held_out_losses(request), request.previous)
        arms, x = len(self._rewards), self.params.exploration
        named = zip(request.domains, self._rewards.tolist(), strict=True)
        return Mixture(
            proportions=proportions(self._rewards, self._turns, x),
            notes={
                "exploration": arms * exploration(self._turns, arms, x),
                **{f"reward/{domain.name}": reward for domain, reward in named},
            },
        )

    def _turn(self, losses: NDArray[np.float64], shares: NDArray[np.float64]) -> None:
        """Reward the domains that have a loss, NaN being none, which were drawn by ``shares``."""
        self._turns += 1
        for k in ((losses == losses) & (shares > 0)).nonzero()[0].tolist():
            self._rewards = rewarded(self._rewards, k, float(losses[k]), float(shares[k]), self.params.alpha)

    def state_dict(self) -> dict[str, Any]:
        """Turns, and the estimates."""
        return {"turns": self._turns, "rewards": self._rewards.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self._turns, self._rewards = int(state["turns"]), state["rewards"].copy()


def exploration(t: int, K: int, x: float = 1) -> float:  # noqa: N803 - the paper's letter
    """ε_t, the least proportion of each of ``K`` domains after turn ``t``, 0 before the first."""
    return x / K if t < 1 else min(x / K, sqrt(log(K) / (K * t)))


def rewarded(r: ArrayLike, domain: int, loss: float, share: float, alpha: float) -> NDArray[np.float64]:
    """Estimates Float64[K] ``r`` after a reward of ``domain``: its ``loss`` when its proportion was ``share`` > 0."""
    import numpy as np

    estimates = np.array(r, dtype=np.float64)
    estimates[domain] = alpha * estimates[domain] + (1 - alpha) * loss / share
    return estimates


def proportions(r: ArrayLike, t: int, x: float = 1) -> NDArray[np.float64]:
    """π Float64[K] of sum one, from estimates ``r`` [K] after turn ``t``: see `OdmMixer`."""
    import numpy as np

    estimates = np.asarray(r, dtype=np.float64)
    arms = len(estimates)
    before, now = exploration(t - 1, arms, x), exploration(t, arms, x)
    favour = np.exp(before * (estimates - estimates.max()))
    policy: NDArray[np.float64] = (1 - arms * now) * favour / favour.sum() + now
    return policy
