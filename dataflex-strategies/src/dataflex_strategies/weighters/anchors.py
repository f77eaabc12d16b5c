"""What the target set looks like to the model: its embeddings, taken as an interval begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataflex_core import Signals

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray


class Anchors:
    """Embeddings Float32[M, H] of the M samples of the target set, subtask by subtask."""

    def __init__(self) -> None:
        import numpy as np

        self._values: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def take(self, signals: Signals) -> None:
        """Ask the model in training, without dropout. Collective."""
        import numpy as np

        found = []
        for name in signals.targets:
            target = signals.target(name)
            ids = np.arange(len(target))
            shard = target.shard(ids)
            found.append(target.gather(ids, shard, target.embeddings(shard, pooling="weighted")))
        self._values = np.concatenate(found)

    def beside(self, embeddings: torch.Tensor) -> torch.Tensor:
        """As a tensor, on the device of ``embeddings``."""
        import torch

        return torch.from_numpy(self._values).to(embeddings.device)

    def state_dict(self) -> dict[str, Any]:
        """They are of the model as it was, and cannot be taken again."""
        return {"anchors": self._values.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with those that were taken."""
        self._values = state["anchors"].copy()


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Float32[n, H] vectors, each of length one."""
    from torch.nn.functional import normalize

    return normalize(vectors.float(), dim=1)
