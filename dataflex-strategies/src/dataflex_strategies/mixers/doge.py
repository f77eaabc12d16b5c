"""DoGE: proportions by how far each domain's gradient helps the others (Fan et al., 2024, arXiv:2310.15393)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt
from typing_extensions import Doc

from dataflex_core import Cost, CostRequest, Direction, Mixer, MixRequest, Mixture, Need, SetupContext, Signals
from dataflex_strategies.mixers.exponentiated import STEEPEST, raised
from dataflex_strategies.mixers.probes import drawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

_MOST = 5.0  # of a score, before η


@dataclass(frozen=True, slots=True, kw_only=True)
class DogeParams:
    """Whom the domains are to help, how fast the proportions move, and how many gradients say so."""

    towards: Annotated[
        Literal["domains", "target"], Doc("whom gradients are to help: the other domains, or the target set")
    ] = "domains"
    eta: Annotated[float, Gt(0), Doc("what a score counts, η; the authors take the learning rate")] = 0.01
    mu: Annotated[float, Gt(0), Doc("how much the proportions resist, μ")] = 0.05
    probe: Annotated[int, Gt(0), Doc("fresh samples of each domain whose gradients a decision takes")] = 16


def needs(params: DogeParams) -> set[Need]:
    """The target set, where it is to be helped."""
    return {Need.TARGET_SET} if params.towards == "target" else set()


def cost(params: DogeParams, request: CostRequest) -> Cost:
    """Two gradients of each probed sample, one of each target sample."""
    return Cost(candidate=0.0, target=1.0, decision=2.0 * params.probe * request.domains)


class DogeMixer(Mixer[DogeParams]):
    """Draws more from domains whose gradient points where the gradients of the others, or of the target set, point.

    At each decision ``probe`` fresh samples of each domain are drawn at random, and ḡ_k is the mean of their plain
    gradients. To first order, and times the learning rate, a product of two is what a step on one domain takes off the
    loss of the other::

        s_k = ⟨ḡ_k, Σ ḡ_j over the other domains j⟩        or ⟨ḡ_k, ḡ_target⟩ with ``towards: target``
        s   ← η · clip(s / mean of ‖ḡ‖, 0, 5)
        p   ← p · exp(s/μ), of sum one                     from uniform

    ḡ_target is the mean over the target set's subtasks of their mean gradients. A domain without a sample that has a
    target token scores 0. The result is the mean of p over the run: ``dataflex proportions RUN`` prints it as a ready
    section for a final run. Figures of each decision: ``score/DOMAIN``, before η, and ``gradient/DOMAIN``, ‖ḡ_k‖.

    Departs from the paper in three points. It draws by p, where the paper draws evenly and weighs the loss by p. p
    changes at decisions, by gradients of samples that are not trained on then, where the paper takes those of each
    step's batch. And η is 0.01 whatever the learning rate, which the authors take: with 1e-4 nothing would move.

    When to use: to find proportions that make domains help each other, or that serve a target set, in a run with a
    small model for the training of a larger one, or in the run itself. A high loss alone gains a domain nothing: the
    gradients of noise point nowhere in particular. A decision costs two gradients of each probed sample, 32 a domain,
    and one of each sample of the target set, and holds as many gradients at once as there are domains: make it seldom,
    or use LoRA.
    """

    def setup(self, context: SetupContext) -> None:
        """Uniform, to begin with."""
        import numpy as np

        self._shares = np.full(len(context.domains), 1 / len(context.domains))

    def mix(self, request: MixRequest) -> Mixture:
        """The proportions after one more probe."""
        import numpy as np

        signals, domains = request.signals, request.domains
        fresh = drawn(request, self.params.probe, usable=lambda ids: signals.target_tokens(ids) > 0)
        probes = {k: ids for k, ids in enumerate(fresh) if len(ids)}
        notes: dict[str, float] = {}
        if probes:
            directions = [_mean_of(signals, ids) for ids in probes.values()]
            if self.params.towards == "target":
                directions += [_mean_of_all(signals.target(name)) for name in signals.targets]
            every = np.sort(np.concatenate(list(probes.values())))
            shard = signals.shard(every)
            rows = signals.gather(every, shard, signals.alignments(shard, directions=directions, adam=False))
            found = np.stack([rows[np.isin(every, ids)].mean(axis=0, dtype=np.float64) for ids in probes.values()])
            gram, targets = found[:, : len(probes)], found[:, len(probes) :]
            lengths = np.sqrt(np.diag(gram).clip(min=0))
            helps = targets.mean(axis=1) if targets.size else helped_others(gram)
            scores = np.zeros(len(domains))
            scores[list(probes)] = scaled(helps, lengths)
            self._shares = updated(self._shares, min(self.params.eta, STEEPEST) * scores, self.params.mu)
            notes = {f"score/{domain.name}": score for domain, score in zip(domains, scores.tolist(), strict=True)}
            norms = zip(probes, lengths.tolist(), strict=True)
            notes |= {f"gradient/{domains[k].name}": length for k, length in norms}
        return Mixture(proportions=self._shares.copy(), notes=notes)

    def state_dict(self) -> dict[str, Any]:
        """The proportions."""
        return {"shares": self._shares.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As it was."""
        self._shares = state["shares"].copy()


def _mean_of(signals: Signals, ids: NDArray[np.int64]) -> Direction:
    """The mean gradient of some samples."""
    import numpy as np

    return signals.direction(ids, np.full(len(ids), 1 / len(ids)))


def _mean_of_all(signals: Signals) -> Direction:
    """The mean gradient of all samples that have one; of none, what asking for it says so."""
    import numpy as np

    ids = np.arange(len(signals))
    known = ids[signals.target_tokens(ids) > 0]
    return _mean_of(signals, known if len(known) else ids)


def helped_others(gram: ArrayLike) -> NDArray[np.float64]:
    """The product of each domain's mean gradient with the sum of the others', Float64[K], from all products [K, K]."""
    import numpy as np

    products = np.asarray(gram, dtype=np.float64)
    helps: NDArray[np.float64] = products.sum(axis=1) - np.diag(products)
    return helps


def scaled(helps: ArrayLike, lengths: ArrayLike) -> NDArray[np.float64]:
    """Scores between 0 and 5, Float64[K]: products [K] by the mean of the gradients' ``lengths`` [K]."""
    import numpy as np

    products, mean = np.asarray(helps, dtype=np.float64), float(np.asarray(lengths, dtype=np.float64).mean())
    return np.clip(products / mean, 0, _MOST) if mean > 0 else np.zeros_like(products)


def updated(p: ArrayLike, scores: ArrayLike, mu: float) -> NDArray[np.float64]:
    """The next proportions, Float64[K] of sum one, from those before and scores [K], η in them: see `DogeMixer`."""
    return raised(p, scores, eta=1 / mu, smoothing=0.0)
