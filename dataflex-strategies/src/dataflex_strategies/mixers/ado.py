"""Adaptive data optimisation: by how fast each domain's loss falls (Jiang et al., 2024, arXiv:2410.11820)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Interval
from typing_extensions import Doc

from dataflex_core import Mixer, MixRequest, Mixture, SetupContext, StepFacts
from dataflex_strategies.mixers.scaling_law import FEWEST, Curve, fit, slopes
from dataflex_strategies.mixers.step_losses import StepLosses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_NEARLY_NONE = 1e-6  # a loss that has a logarithm: a smoothed one may be below zero
__all__ = ["AdoMixer", "AdoParams", "at_least", "fit", "preferred", "slopes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoParams:
    """When the curves are fitted and to what, and how far they move the proportions."""

    start: Annotated[int, Gt(0), Doc("optimizer steps before the first fit")] = 200
    every: Annotated[int, Gt(0), Doc("optimizer steps between fits, at least")] = 100
    smoothing: Annotated[int, Ge(5), Doc("steps that a loss is smoothed over; an even number counts as one less")] = 101
    spacing: Annotated[int, Gt(0), Doc("of the smoothed losses one in so many is fitted")] = 10
    credit: Annotated[float, Interval(ge=0, le=1), Doc("how far what a domain was given counts, as a power")] = 0.5
    step: Annotated[float, Interval(gt=0, le=1), Doc("the part of the proportions that is not the mean so far")] = 0.1
    floor: Annotated[float, Interval(ge=0, lt=1), Doc("the least that a domain is wanted for")] = 0.01


class AdoMixer(Mixer[AdoParams]):
    """Draws more from domains whose loss still falls fast, by a scaling law that is fitted to each while it trains.

    From its own training losses, before any weight: with l_k the mean loss of domain k's target tokens at a step,
    smoothed over ``smoothing`` steps (Savitzky-Golay, cubic) and taken at every ``spacing``-th of them, and m the
    samples of all domains that were trained on until then, three numbers are fitted to each domain (Huber's loss of the
    logarithms with δ = 1e-3, by L-BFGS-B from the best of a grid, 0 <= α <= 0.8)::

        ln l̂  = ln(exp(a - α·ln m) + exp(e))              exp e is what no training takes away
        slope = max(α, 0.05) · (l̂ - exp e) / m            how fast it falls now
        h     ← 0.9·h + 0.1·share of the step's samples    at each step, from shares by size
        p*    ∝ size · h^½ · slope, at least 1 %           of a domain, what it was given, and how fast it falls
        p     = 0.9 · mean of p over all steps + 0.1·p*

    Proportions are by size until the first fit, after ``start`` steps. Losses are fitted anew at the first decision
    after every ``every`` steps; between fits the slopes go on falling with m. A domain that no step drew, whose loss
    does not fall, or that has fewer than five points, has no slope: p* gives it its share by size, the rest is divided
    among the others, and a line says so. Figures of each decision after a fit: ``exponent/DOMAIN`` α,
    ``scale/DOMAIN`` exp a, ``irreducible/DOMAIN`` exp e, ``slope/DOMAIN``, each of the domains that have one.

    Costs token losses and a fit, some 50 milliseconds a domain. Departs from the paper in four points: curves are
    fitted from the 8 points of the grid that fit best, not from all 512, which finds as good ones; proportions change
    at decisions, not at every step; a step that did not draw a domain has no loss of it, and what lies between is
    interpolated; and in long runs losses are kept as means of 2, 4, 8, … steps, never more than 2,000 numbers a domain.
    With more than fifty domains the least is half of an even share.

    When to use: in long runs, from some thousand steps on, to find proportions in the run that uses them, at no cost
    beyond token losses. It favours what is still learnt: a loss that is high and stays so, as of noise, gains a domain
    little, where `odm` draws it most. In a run of some hundred steps the curves are mostly noise: use `odm`, or
    `doremi` with a proxy.
    """

    def setup(self, context: SetupContext) -> None:
        """Nothing is fitted yet."""
        import numpy as np

        sizes = np.array([domain.size for domain in context.domains], dtype=np.float64)
        self._sizes = sizes / sizes.sum()
        self._batch, self._given = context.global_batch, self._sizes.copy()
        self._losses = StepLosses(len(sizes))
        self._fitted_at, self._curves = 0, np.full((len(sizes), len(Curve._fields)), np.nan)
        self._told: dict[str, str] = {}

    def observe(self, step: StepFacts) -> None:
        """A loss of each domain that the step drew, and what it drew."""
        self._losses.add(step.loss_by_domain, step.tokens_by_domain)
        drawn = step.samples_by_domain
        self._given = 0.9 * self._given + 0.1 * drawn / max(drawn.sum(), 1)

    def mix(self, request: MixRequest) -> Mixture:
        """Shares by size until the first fit; then towards what the slopes prefer."""
        import numpy as np

        params, steps = self.params, self._losses.steps
        remarks: tuple[str, ...] = ()
        if steps >= params.start and (not self._fitted_at or steps >= self._fitted_at + params.every):
            remarks = self._fit([domain.name for domain in request.domains])
        if not self._fitted_at:
            return Mixture(proportions=self._sizes.copy())
        falls = slopes(self._curves, steps * self._batch)
        wanted = preferred(self._sizes, self._given, falls, credit=params.credit, floor=params.floor)
        known = {"exponent": self._curves[:, 1], "slope": falls}
        known |= {"scale": np.exp(self._curves[:, 0]), "irreducible": np.exp(self._curves[:, 2])}
        return Mixture(
            proportions=(1 - params.step) * request.mean + params.step * wanted,
            notes={
                f"{name}/{domain.name}": figure
                for name, figures in known.items()
                for domain, figure in zip(request.domains, figures.tolist(), strict=True)
                if np.isfinite(figure)
            },
            remarks=remarks,
        )

    def state_dict(self) -> dict[str, Any]:
        """Losses by step, what was given, the curves and when they were fitted, and what was told."""
        return {
            "losses": self._losses.state(),
            "given": self._given.copy(),
            "curves": self._curves.copy(),
            "fitted_at": self._fitted_at,
            "told": dict(self._told),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self._losses = StepLosses.of(state["losses"])
        self._given, self._curves = state["given"].copy(), state["curves"].copy()
        self._fitted_at, self._told = int(state["fitted_at"]), dict(state["told"])

    def _fit(self, names: list[str]) -> tuple[str, ...]:
        """Fit every domain's curve anew. Lines about domains that have come to have none."""
        import numpy as np

        self._fitted_at = self._losses.steps
        told: dict[str, str] = {}
        for k, name in enumerate(names):
            steps, losses = self._losses.smoothed(k, self.params.smoothing, self.params.spacing)
            losses = losses.clip(min=_NEARLY_NONE)
            self._curves[k] = np.nan
            if not len(losses):
                told[name] = "no step has drawn it"
            elif len(losses) < FEWEST:
                told[name] = f"a curve needs {FEWEST} points, and it has {len(losses)}"
            elif rises(losses):
                told[name] = "its loss does not fall"
            else:
                self._curves[k] = fit(steps * self._batch, losses)
        new = {name: why for name, why in told.items() if self._told.get(name) != why}
        self._told = told
        return tuple(f"{name} has its share by size: {why}" for name, why in new.items())


def rises(losses: NDArray[np.float64]) -> bool:
    """Whether the last third of losses [n] is no lower, on the whole, than the first."""
    third = max(1, len(losses) // 3)
    return bool(losses[-third:].mean() >= losses[:third].mean())


def preferred(
    sizes: ArrayLike, given: ArrayLike, falls: ArrayLike, *, credit: float = 0.5, floor: float = 0.01
) -> NDArray[np.float64]:
    """What the slopes ``falls`` [K] would have drawn, Float64[K] of sum one: see `AdoMixer`.

    ``sizes`` [K] are shares by size, ``given`` [K] the average of what was drawn, both of sum one. A slope that is NaN,
    or none above zero, leaves a domain its share by size.
    """
    import numpy as np

    shares, slope = np.array(sizes, dtype=np.float64), np.asarray(falls, dtype=np.float64)
    scores = shares * np.asarray(given, dtype=np.float64) ** credit * slope
    known = np.isfinite(scores) & (scores > 0)
    if known.any():
        shares[known] = shares[known].sum() * scores[known] / scores[known].sum()
    return at_least(shares, min(floor, 0.5 / len(shares)))


def at_least(shares: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    """``shares`` [K] of sum one, none under ``floor`` <= 1/K: those above it make up for the others in proportion."""
    import numpy as np

    low = shares < floor
    while True:
        made = np.where(low, floor, 0.0)
        made[~low] = shares[~low] * (1 - floor * low.sum()) / shares[~low].sum()
        if not (made[~low] < floor).any():
            return made
        low = low | (made < floor)
