"""Dynamic batch loading of Sheared LLaMA: by the distance to a target loss (Xia et al., 2023, arXiv:2310.06694)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Interval
from typing_extensions import Doc

from dataflex_core import (
    CheckRequest,
    Mixer,
    MixRequest,
    Mixture,
    Need,
    ReferenceModel,
    SetupContext,
    StepFacts,
    UsageError,
)
from dataflex_strategies.mixers.exponentiated import raised
from dataflex_strategies.mixers.given import ByDomain, by_domain, check_by_domain, check_some, names_of
from dataflex_strategies.mixers.held_out import held_out_losses

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ShearedParams:
    """The losses to reach, and how fast the proportions move. One of the first two is given."""

    target_losses: Annotated[
        ByDomain | None, Doc("the mean loss of a target token to reach, by domain's name or position")
    ] = None
    reference_model: Annotated[ReferenceModel | None, Doc("a model whose losses are to be reached, in their place")] = (
        None
    )
    losses: Annotated[
        Literal["holdout", "training"], Doc("of which samples: those that dataflex.holdout keeps out, or of training")
    ] = "holdout"
    eta: Annotated[float, Gt(0), Doc("how far a decision moves the proportions, η")] = 1.0
    smoothing: Annotated[float, Interval(ge=0, lt=1), Doc("the part that is spread evenly, c")] = 1e-4
    clip: Annotated[bool, Doc("whether a domain that is below its target counts as at it, as in the paper")] = True
    proportions: Annotated[
        ByDomain | None, Doc("where the proportions begin, by name or by position; unset: by size")
    ] = None


def needs(params: ShearedParams) -> set[Need]:
    """Held-out samples and their losses; of training, losses of the reference model, where one is named."""
    if params.losses == "holdout":
        return {Need.HOLDOUT, Need.LOSSES}
    return set() if params.reference_model is None else {Need.REFERENCE_LOSSES}


class ShearedMixer(Mixer[ShearedParams]):
    """Draws more from domains that are further from the loss they are to reach, so that all reach it together.

    For each domain, with l the mean loss of a target token of its held-out samples (``dataflex.holdout``) at the
    decision, and l_target the loss to reach::

        gap = max(l − l_target, 0)              l − l_target with ``clip: false``
        p ← p · exp(η·gap), of sum one          from ``proportions``
        p ← (1 − c)·p + c/K

    ``target_losses`` are given: the losses of a larger model, say, or those that a scaling law predicts. With
    ``reference_model`` they are its losses on the very tokens that the gap is of. Figures of each decision:
    ``gap/DOMAIN``, and ``held_out/DOMAIN``, the losses.

    With ``losses: training`` l is the mean over the steps since the last decision, over all ranks and before any
    weight, and a domain that no step drew keeps its last gap. That departs from the paper and costs nothing, but a
    small domain that is read many times looks nearer to its target than it is. The authors' code does not clip.

    When to use: to go on with a model that was pruned, distilled or trained on something else, where it is known how
    good it can become on each domain. Without such losses, or with a target out of reach for one domain, that domain
    takes over: of forty domains one had all by the end, for a reference that had been trained on its few samples. A
    ``smoothing`` of .5 leaves each half a uniform share. A decision costs a forward pass of each held-out sample; with
    ``losses: training`` and a ``reference_model`` a step costs a forward pass of it more. What the reference model says
    is stored by sample.
    """

    def setup(self, context: SetupContext) -> None:
        """Raises `UsageError` unless one target is given, with a loss for every domain."""
        import numpy as np

        check(self.params, names_of(context))
        self._shares = np.array([domain.size for domain in context.domains], dtype=np.float64)
        if self.params.proportions is not None:
            self._shares = by_domain(self.params.proportions, context.domains)
        self._shares /= self._shares.sum()
        self._gaps = np.zeros(len(context.domains))
        self._seen = np.zeros((3, len(context.domains)))

    def observe(self, step: StepFacts) -> None:
        """Add up tokens, their losses and those to reach."""
        import numpy as np

        if self.params.losses == "holdout":
            return
        tokens, given = step.tokens_by_domain, self.params.target_losses
        goals = step.reference_loss_by_domain if given is None else by_domain(given, step.domains) * tokens
        assert goals is not None, "declared as a need"
        self._seen += np.stack([tokens, step.loss_by_domain, goals])

    def mix(self, request: MixRequest) -> Mixture:
        """The proportions by how far the domains are now from the losses to reach."""
        import numpy as np

        names, notes = [domain.name for domain in request.domains], {}
        if self.params.losses == "holdout":
            losses = held_out_losses(request)
            gaps = losses - self._goals(request)
            notes = {f"held_out/{name}": float(loss) for name, loss in zip(names, losses, strict=True) if loss == loss}
        else:
            tokens, losses, goals = self._seen
            gaps = np.divide(losses - goals, tokens, out=np.full(len(names), np.nan), where=tokens > 0)
            self._seen[:] = 0
        known = np.isfinite(gaps)
        if known.any():
            self._gaps[known] = gaps[known].clip(min=0) if self.params.clip else gaps[known]
            self._shares = updated(self._shares, self._gaps, eta=self.params.eta, smoothing=self.params.smoothing)
        notes |= {f"gap/{name}": gap for name, gap in zip(names, self._gaps.tolist(), strict=True)}
        return Mixture(proportions=self._shares.copy(), notes=notes)

    def _goals(self, request: MixRequest) -> NDArray[np.float64]:
        """The losses to reach on held-out samples, Float64[K]."""
        given, model = self.params.target_losses, self.params.reference_model
        return held_out_losses(request, model=model) if given is None else by_domain(given, request.domains)

    def state_dict(self) -> dict[str, Any]:
        """Proportions, the last gaps, and what was seen since the last decision."""
        return {"shares": self._shares.copy(), "gaps": self._gaps.copy(), "seen": self._seen.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self._shares, self._gaps, self._seen = (state[name].copy() for name in ("shares", "gaps", "seen"))


def check(params: ShearedParams, request: CheckRequest) -> None:
    """Raises `UsageError` unless one target is given, and where losses or proportions do not fit the domains."""
    given = params.target_losses
    if (given is None) == (params.reference_model is None):
        said = "neither is given" if given is None else "both are given"
        hint = "set target_losses by domain, or reference_model"
        raise UsageError(f"sheared takes target_losses or a reference_model: {said}", hint=hint)
    if given is not None:
        check_by_domain(given, request.domains, who="sheared", what="target_losses")
    if params.proportions is not None:
        check_by_domain(params.proportions, request.domains, who="sheared", what="proportions")
        check_some(params.proportions, who="sheared")


def updated(p: ArrayLike, gap: ArrayLike, *, eta: float, smoothing: float) -> NDArray[np.float64]:
    """The next proportions, Float64[K] of sum one, from those before and gaps [K] to the losses to reach."""
    return raised(p, gap, eta=eta, smoothing=smoothing)
