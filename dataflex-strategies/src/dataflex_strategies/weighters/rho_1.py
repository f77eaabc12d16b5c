"""RHO-1: train on the tokens that a reference model finds easier (Lin et al., 2024, arXiv:2404.07965)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval
from typing_extensions import Doc

from dataflex_core import ReferenceModel, TokenLosses, WeighRequest, Weighter

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Rho1Params:
    """Who is asked, and how much is kept."""

    reference_model: Annotated[ReferenceModel, Doc("a model trained on data that is known to be good")]
    keep: Annotated[float, Interval(gt=0, le=1), Doc("the share of a step's target tokens to train on")] = 0.6


class Rho1Weighter(Weighter[Rho1Params]):
    """Trains on the tokens whose loss exceeds the reference model's by most, and on no other.

    Of the ``n`` target tokens of an optimizer step, of its accumulation window and all ranks, those are kept whose
    excess loss is among the ``k`` largest, all that equal the last of them included::

        excess = l − l_ref        k = ⌈keep · n⌉
        w = 1 where excess ≥ the k-th largest, else 0

    and the loss is the mean over the tokens that are kept. Tokens that the reference has no better answer to, noise
    and what cannot be known, drop out, and so do those that the model has learnt. Departs from the paper in nothing
    but the words for ties. Losses of the reference model are stored by sample: a sample that was asked about before,
    in this run or in another with the same ``store``, takes no forward pass of it.

    When to use: with data of uneven quality and a model, of the same tokenizer, that was trained on good data of the
    same kind: even a small part of it. A reference that is no better than the model in training leaves noise to choose
    by. With gradient accumulation each step takes a forward pass more, for the tokens are those of the whole step.
    """

    def weigh(self, request: WeighRequest, losses: TokenLosses) -> torch.Tensor:
        """Float32[B, T], ones and zeros."""
        assert request.reference is not None, "declared as a need"
        return kept(losses.values - request.reference.values, losses.mask, self.params.keep)


def kept(excess: torch.Tensor, mask: torch.Tensor, keep: float) -> torch.Tensor:
    """1 for the ``keep`` of the tokens of ``mask`` Bool[B, T] with the largest ``excess``, ties included, else 0.

    Float32[B, T]. No value is asked for, which would make the host wait for the device.
    """
    ranked = excess.masked_fill(~mask, float("-inf")).flatten().sort(descending=True).values
    # 0.6 of 5 is 3, whatever 0.6 is in binary.
    count = (mask.sum().double() * keep - 1e-9).ceil().long().clamp(min=1)
    return (mask & (excess >= ranked.gather(0, (count - 1)[None]))).float()
