"""ADAPT: samples weigh by how much they look like the target set (arXiv:2605.05227)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt
from typing_extensions import Doc

from dataflex_core import TokenLosses, WeighRequest
from dataflex_strategies.weighters.anchors import AnchoredWeighter, unit

if TYPE_CHECKING:
    import torch

_SHARPEST = 1e-30  # below it nothing changes, and a float32 would overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptParams:
    """How sharply likeness tells."""

    tau: Annotated[float, Gt(0), Doc("temperature of the sigmoid: larger is nearer to equal weights")] = 1.0
    clip: Annotated[float | None, Gt(0), Doc("the largest weight before they are normalised; null for none")] = None


class AdaptWeighter(AnchoredWeighter[AdaptParams]):
    """Weighs a sample by the likeness of its embedding to those of the target set.

    A sample's embedding ``φ`` is the mean of its last hidden states, the t-th token weighing t, made of length one.
    Those of the target set, the anchors ``aⱼ``, are taken anew as each interval of ``update_steps`` begins::

        φᵢ = Σₜ t · hₜ / |Σₜ t · hₜ|        w = σ((mean over j of φᵢ · aⱼ) / τ)

    The weights of an optimizer step, of its accumulation window and all ranks, then have a mean of one over the target
    tokens. A sample's embedding comes from the very forward that trains on it, so that it has the dropout of training;
    the anchors' forwards have none.

    Departs from DataFlex 1.x, which did not normalise: its weights lie between 0 and 1, about a half where nothing is
    alike, so that they also lowered the learning rate. Cosines of hidden states are close to one another in most
    models: at ``tau`` 1 weights differ by some per cent, and at a tenth of that they tell.

    When to use: with examples of what the model should become good at and a pool that is mixed, where choosing samples
    by gradients costs too much: the anchors take one forward of the target set an interval, and the batch none. With
    gradient accumulation each step takes a forward more, for the weights are relative to the whole step.
    """

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Float32[B]."""
        assert request.embeddings is not None, "declared as a need"
        given = self.params
        logs = log_weights(request.embeddings, self.anchors(request.embeddings), given.tau, given.clip)
        known = losses.mask.any(dim=1)
        # As parts of the largest that counts, for all may be too small to be told from zero.
        return (logs - logs.masked_fill(~known, -math.inf).max()).clamp(max=0).exp()


def log_weights(embeddings: torch.Tensor, anchors: torch.Tensor, tau: float, clip: float | None = None) -> torch.Tensor:
    """log σ(mean cosine / tau), Float32[B], of embeddings [B, H] and anchors [M, H], of any lengths.

    Where it is above ``clip``, the logarithm of that.
    """
    from torch.nn.functional import logsigmoid

    logs = logsigmoid(unit(embeddings) @ unit(anchors).mean(dim=0) / max(tau, _SHARPEST))
    return logs if clip is None else logs.clamp(max=math.log(clip))
