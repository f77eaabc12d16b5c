"""Weighters that look at what the target set is like to the model: its embeddings, taken as an interval begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dataflex_core import IntervalRequest, Weighter
from dataflex_strategies.embedded import of_targets

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

P = TypeVar("P")


class AnchoredWeighter(Weighter[P]):
    """Has embeddings Float32[M, H] of the M samples of the target set, subtask by subtask, as a state."""

    def __init__(self, params: P) -> None:
        import numpy as np

        super().__init__(params)
        self._anchors: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def prepare(self, request: IntervalRequest) -> None:
        """Take them of the model in training, without dropout."""
        import numpy as np

        self._anchors = np.concatenate(of_targets(request.signals, pooling="weighted"))

    def anchors(self, beside: torch.Tensor) -> torch.Tensor:
        """As a tensor, on the device of that ``beside`` it."""
        import torch

        return torch.from_numpy(self._anchors).to(beside.device)

    def state_dict(self) -> dict[str, Any]:
        """They are of the model as it was, and cannot be taken again."""
        return {"anchors": self._anchors.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with those that were taken."""
        self._anchors = state["anchors"].copy()


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Float32[n, H] vectors, each of length one."""
    from torch.nn.functional import normalize

    return normalize(vectors.float(), dim=1)
