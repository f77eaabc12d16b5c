"""Dynamic mixing for a mixture of experts: by how differently domains use them (Zhu et al., 2024, arXiv:2406.11256)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Interval
from typing_extensions import Doc

from dataflex_core import Cost, CostRequest, Mixer, MixRequest, Mixture, SetupContext, domain_of
from dataflex_strategies.mixers.exponentiated import raised
from dataflex_strategies.mixers.probes import drawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_FORWARD = 1 / 3  # of a training step


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicMoEParams:
    """How fast the proportions move, what is compared, and how many samples are looked at."""

    eta: Annotated[float, Gt(0), Doc("how far a decision moves the proportions, η")] = 10.0
    smoothing: Annotated[float, Interval(ge=0, lt=1), Doc("the part that is spread evenly, c")] = 0.05
    distance: Annotated[Literal["l2", "cosine"], Doc("between the expert loads of two domains")] = "l2"
    probe: Annotated[int, Gt(0), Doc("samples of each domain whose loads a decision takes, drawn anew each time")] = 100


def cost(params: DynamicMoEParams, request: CostRequest) -> Cost:
    """A forward pass of each domain's probe, as if none were smaller."""
    return Cost(candidate=0.0, decision=params.probe * request.domains * _FORWARD)


class DynamicMoEMixer(Mixer[DynamicMoEParams]):
    """Draws more from domains whose tokens go to other experts than those of the other domains.

    At each decision ``probe`` samples of each of K domains are drawn, and O_k is the mean of their expert loads: for
    each layer the share of its router's choices that falls on each expert. Then, from w = 1/K::

        δ_k = mean over all domains j of d(O_k, O_j)        d(O_k, O_k) = 0 is among them
        w   ← w · exp(η·δ), of sum one
        w   ← (1 − c)·w + c/K

    with d the Euclidean ``distance``, or one minus the cosine. Figures of each decision: ``distance/DOMAIN``, δ.

    Departs from the paper in that the probe is drawn anew each time, of the samples that are trained on, and in that
    loads are of all layers: the distance grows with the root of their number, so that a deep model moves further with
    the same η. Domains that all experts serve alike stay where they are.

    When to use: to tune a mixture of experts such as Mixtral or Qwen2-MoE on several domains of instructions, where
    some may be redundant to the others. A dense model is refused. Nothing tells a domain of noise from one that is
    worth it: what is unlike the others is drawn most. A decision costs a forward pass of K times ``probe`` samples.
    """

    def setup(self, context: SetupContext) -> None:
        """The proportions begin even."""
        import numpy as np

        self._shares = np.full(len(context.domains), 1 / len(context.domains))

    def mix(self, request: MixRequest) -> Mixture:
        """The proportions, one step on. Collective."""
        import numpy as np

        ids = np.concatenate(drawn(request, self.params.probe))
        owners = domain_of(request.domains, ids)
        shard = request.signals.shard(ids)
        found = request.signals.gather(ids, shard, request.signals.expert_loads(shard)).astype(np.float64)
        loads = np.full((len(request.domains), found.shape[1]), np.nan)
        for k in np.unique(owners):
            loads[k] = found[owners == k].mean(axis=0)
        p = self.params
        self._shares = updated(self._shares, loads, eta=p.eta, smoothing=p.smoothing, distance=p.distance)
        named = zip(request.domains, distances(loads, distance=p.distance).tolist(), strict=True)
        return Mixture(
            proportions=self._shares.copy(), notes={f"distance/{domain.name}": figure for domain, figure in named}
        )

    def state_dict(self) -> dict[str, Any]:
        """The proportions."""
        return {"shares": self._shares.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self._shares = state["shares"].copy()


def distances(loads: ArrayLike, *, distance: str) -> NDArray[np.float64]:
    """δ Float64[K] of loads [K, E]: each domain's mean distance to all of them, itself included.

    A domain without loads, a row of NaN, is at no distance and counts for nothing.
    """
    import numpy as np

    given = np.asarray(loads, dtype=np.float64)
    known = ~np.isnan(given).any(axis=1)
    o = given[known]
    if distance == "l2":
        apart = np.linalg.norm(o[:, None] - o[None], axis=-1)
    else:
        lengths = np.linalg.norm(o, axis=1, keepdims=True)
        units = np.divide(o, lengths, out=np.zeros_like(o), where=lengths > 0)
        apart = (1 - (units[:, None] * units[None]).sum(axis=-1)).clip(min=0)
        np.fill_diagonal(apart, 0.0)
    means = np.zeros(len(given))
    means[known] = apart.mean(axis=1)
    return means


def updated(w: ArrayLike, loads: ArrayLike, *, eta: float, smoothing: float, distance: str) -> NDArray[np.float64]:
    """The next proportions, Float64[K] of sum one, from those before and mean expert loads [K, E]."""
    return raised(w, distances(loads, distance=distance), eta=eta, smoothing=smoothing)
