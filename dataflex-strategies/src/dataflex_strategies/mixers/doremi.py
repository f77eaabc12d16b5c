"""DoReMi: proportions from what a proxy loses over a reference model (Xie et al., 2023, arXiv:2305.10429)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Interval
from typing_extensions import Doc

from dataflex_core import CheckRequest, Mixer, MixRequest, Mixture, ReferenceModel, SetupContext, StepFacts, UsageError
from dataflex_strategies.mixers.exponentiated import raised
from dataflex_strategies.mixers.given import ByDomain, by_domain, check_by_domain, names_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

BEHIND = (
    "the reference model's loss is below this run's in no domain any more: what exceeds it says little; train the "
    "reference for longer, or this run for fewer steps"
)
"""What is said of a reference that is no better than the proxy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoReMiParams:
    """Who is asked, how fast the proportions move, and what is sampled meanwhile."""

    reference_model: Annotated[
        ReferenceModel, Doc("a model of the proxy's size, trained on the proportions that it samples")
    ]
    eta: Annotated[float, Gt(0), Doc("how far a decision moves the proportions, η")] = 1.0
    smoothing: Annotated[float, Interval(ge=0, lt=1), Doc("the part that is spread evenly, c")] = 1e-3
    proportions: Annotated[
        ByDomain | None, Doc("what is sampled, by name or by position, each above zero; unset: uniform")
    ] = None


class DoReMiMixer(Mixer[DoReMiParams]):
    """Trains a proxy model to learn proportions: domains weigh by how much of their loss can still be gained.

    For each domain, over the target tokens of the steps since the last decision::

        λ = Σ max(l − l_ref, 0) / tokens        the excess loss, clipped token by token
        α ← α · exp(η·λ), of sum one            from α = 1/K
        α ← (1 − c)·α + c/K

    A domain that no step drew keeps its last λ. Samples are drawn in fixed proportions π, uniformly unless
    ``proportions`` says otherwise, and the loss of a domain's samples is multiplied by α/π. The result is the mean of α
    over all steps: ``dataflex proportions RUN`` prints it as a ready section for a final run. Figures of each decision:
    ``alpha/DOMAIN``, the mean so far ``mean/DOMAIN``, the excess ``excess/DOMAIN``, and ``reference_lead``: by how much
    the reference model's mean loss is below the proxy's on the same tokens. Where over a tenth of the run it is zero or
    less in every domain, the reference is no better than the proxy and the excess says little: a line says so, once.

    Departs from the paper in that α changes at decisions, once in ``update_steps`` steps; with ``update_steps: 1``, as
    in the paper, at every step. Shares are of samples, so that a domain of long samples has a larger part in the loss;
    with ``dataflex.unit: tokens`` they are of target tokens, as in the paper.

    When to use: to find proportions with a small model for the training of a larger one, in three runs: a reference, a
    proxy under this mixer, the final run. Not where only one run can be afforded: `odm` learns while it trains. A step
    costs a forward pass of the reference model more, which is stored by sample.
    """

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` when ``proportions`` do not give every domain a share."""
        import numpy as np

        check(self.params, names_of(context))
        count = len(context.domains)
        self._sampled = np.full(count, 1 / count)
        if self.params.proportions is not None:
            given = by_domain(self.params.proportions, context.domains)
            self._sampled = given / given.sum()
        self._alpha, self._excess = np.full(count, 1 / count), np.zeros(count)
        self._mean, self._steps = np.zeros(count), 0
        self._seen = _nothing(count)
        self._lead, self._window, self._told = np.zeros((2, count)), max(1, context.total_steps // 10), False
        self._since = 0

    def observe(self, step: StepFacts) -> None:
        """Add up the step's excess losses, and the losses that they are of."""
        assert step.excess_by_domain is not None, "declared as a need"
        assert step.reference_loss_by_domain is not None, "declared as a need"
        self._seen["tokens"] += step.tokens_by_domain
        self._seen["excess"] += step.excess_by_domain
        lead = step.loss_by_domain - step.reference_loss_by_domain
        self._seen["lead"] += lead
        self._lead[0] += lead
        self._lead[1] += step.tokens_by_domain
        self._since += 1

    def mix(self, request: MixRequest) -> Mixture:
        """What is sampled stays; the loss weights are α/π."""
        notes = {}
        tokens = self._seen["tokens"]
        if tokens.any():
            drawn = tokens > 0
            self._excess[drawn] = self._seen["excess"][drawn] / tokens[drawn]
            self._alpha = updated(self._alpha, self._excess, eta=self.params.eta, smoothing=self.params.smoothing)
            notes["reference_lead"] = float(self._seen["lead"].sum() / tokens.sum())
            self._seen = _nothing(len(tokens))
        self._steps += request.steps
        self._mean = self._mean + (self._alpha - self._mean) * (request.steps / self._steps)
        for name, figures in (("alpha", self._alpha), ("mean", self._mean), ("excess", self._excess)):
            of_domains = zip(request.domains, figures.tolist(), strict=True)
            notes |= {f"{name}/{domain.name}": figure for domain, figure in of_domains}
        return Mixture(
            proportions=self._sampled.copy(),
            loss_weights=self._alpha / self._sampled,
            notes=notes,
            remarks=self._remarks(),
        )

    def _remarks(self) -> tuple[str, ...]:
        """A line, once, where the reference leads in no domain over a tenth of the run in which all were drawn."""
        lead, tokens = self._lead
        if self._told or self._since < self._window or not tokens.all():
            return ()
        self._told = bool((lead <= 0).all())
        self._lead[:], self._since = 0, 0
        return (BEHIND,) if self._told else ()

    def state_dict(self) -> dict[str, Any]:
        """α, its mean over so many steps, the last excess, what was seen since the last decision, and the lead."""
        return {
            "alpha": self._alpha.copy(),
            "mean": self._mean.copy(),
            "steps": self._steps,
            "excess": self._excess.copy(),
            "seen": {name: sums.copy() for name, sums in self._seen.items()},
            "lead": self._lead.copy(),
            "since": self._since,
            "told": self._told,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self._alpha, self._mean, self._steps = state["alpha"].copy(), state["mean"].copy(), int(state["steps"])
        self._excess = state["excess"].copy()
        self._seen = {name: sums.copy() for name, sums in state["seen"].items()}
        self._lead, self._since, self._told = state["lead"].copy(), int(state["since"]), bool(state["told"])


def check(params: DoReMiParams, request: CheckRequest) -> None:
    """Raises `UsageError` when ``proportions`` do not give every domain a share."""
    given, names = params.proportions, request.domains
    if given is None:
        return
    check_by_domain(given, names, who="doremi", what="proportions")
    shares = given if isinstance(given, Mapping) else dict(zip(names or (), given, strict=False))
    if none := [name for name, share in shares.items() if not share]:
        said = f"doremi: {', '.join(none)} would never be drawn"
        raise UsageError(said, hint="give every domain a share above zero")


def updated(alpha: ArrayLike, excess: ArrayLike, *, eta: float, smoothing: float) -> NDArray[np.float64]:
    """The next α, Float64[K] of sum one, after excess losses per token [K]: see `DoReMiMixer`."""
    return raised(alpha, excess, eta=eta, smoothing=smoothing)


def _nothing(count: int) -> dict[str, NDArray[np.float64]]:
    """Sums by domain of what has not been seen."""
    import numpy as np

    return {name: np.zeros(count) for name in ("tokens", "excess", "lead")}
