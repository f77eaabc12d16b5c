"""What was trained on since the last log, by domain: samples, target tokens, and losses and weights where known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.journal.events import Trained
from dataflex_core.scoring.targets import IGNORE
from dataflex_core.trainer.groups import Groups

Ids = NDArray[np.int64]

TRAINED = "trained"
"""What a step leaves in the ledger: what `TrainedDomains.step` answers with."""


class TrainedDomains:
    """Adds up, by domain, what every optimizer step trains on; only `take_up` needs values of the device."""

    def __init__(self, groups: Groups, device: torch.device) -> None:
        self._groups, self._device = groups, device
        self._window: list[tuple[Ids, torch.Tensor]] = []
        self._told: list[torch.Tensor] = []
        self._after = 0
        self._samples = np.zeros(len(groups.names), dtype=np.int64)
        self._sums: NDArray[np.float64] | None = None
        self._before: NDArray[np.float64] | None = None

    def window(self, ids: Sequence[Ids], batches: Sequence[Mapping[str, Any]]) -> None:
        """This rank's micro-batches of the step that comes next: of a step that is not finished nothing counts."""
        self._told, self._window = [], []
        for each, batch in zip(ids, batches, strict=True):
            labels = batch.get("labels")
            none = torch.zeros(len(each), dtype=torch.int64)
            self._window.append((each, none if labels is None else (labels[:, 1:] != IGNORE).sum(dim=1)))

    def losses(self, ids: Ids, losses: torch.Tensor, weights: torch.Tensor) -> None:
        """This rank's samples ``ids`` Int64[b] of a micro-batch lost ``losses`` [b], and counted ``weights`` [b].

        Both are sums over each sample's target tokens.
        """
        self._told.append(torch.stack([self._summed(ids, losses), self._summed(ids, weights)]))

    def count(self, ids: Ids) -> None:
        """A step was trained on ``ids`` Int64[B], those of all ranks."""
        self._samples = self._samples + np.bincount(self._groups.of(ids), minlength=len(self._samples))

    def step(self) -> torch.Tensor:
        """An optimizer step is done.

        This rank's target tokens by domain, [1, K], or [3, K] with their losses and weights, on the training device.
        """
        rows = [_on(self._device, [self._summed(mine, tokens) for mine, tokens in self._window])[None]]
        if self._told:
            rows.append(_on(self._device, self._told))
        self._window, self._told = [], []
        return torch.cat(rows)

    def take_up(self, sums: NDArray[np.float64]) -> None:
        """What a `step` answered with, now on the host and added up over all ranks."""
        self._sums = sums if self._sums is None else self._sums + sums

    def event(self, step: int) -> Trained | None:
        """What happened up to ``step``, all of which is taken up; None where nothing was trained."""
        if not self._samples.any():
            return None
        names, (tokens, *told) = self._groups.names, self._of_all()
        losses, weights = told if len(told) == 2 else (None, None)
        return Trained(
            after=self._after,
            step=step,
            samples=dict(zip(names, self._samples.tolist(), strict=True)),
            tokens={name: int(count) for name, count in zip(names, tokens, strict=True)},
            losses=None if losses is None else self._by_name(losses),
            weights=None if weights is None or np.array_equal(weights, tokens) else self._by_name(weights),
        )

    def clear(self, step: int) -> None:
        """Begin anew after ``step``."""
        self._after, self._sums, self._before = step, None, None
        self._samples = np.zeros_like(self._samples)

    def state(self) -> dict[str, Any]:
        """For a checkpoint; all is taken up."""
        return {"after": self._after, "samples": self._samples, "sums": self._of_all() if self._samples.any() else None}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; of others there is nothing to go on from."""
        if len(state["samples"]) == len(self._samples):
            self._after, self._samples = int(state["after"]), np.asarray(state["samples"], dtype=np.int64)
            self._before = state["sums"]

    def _summed(self, ids: Ids, values: torch.Tensor) -> torch.Tensor:
        groups = _to(values.device, torch.from_numpy(self._groups.of(ids)))
        return in_groups(groups, values, len(self._groups.names))

    def _by_name(self, row: NDArray[np.float64]) -> dict[str, float | None]:
        return {name: float(x) if np.isfinite(x) else None for name, x in zip(self._groups.names, row, strict=True)}

    def _of_all(self) -> NDArray[np.float64]:
        """Of all ranks, since the last log, [1, K] or [3, K]: what the checkpoint had of it, and what came since."""
        known = [] if self._before is None else [self._before]
        if self._sums is not None:
            known.append(self._sums)
        rows = 3 if all(len(each) == 3 for each in known) else 1  # what tokens lost is known of all or of none
        total: NDArray[np.float64] = np.sum([each[:rows] for each in known], axis=0)
        return total


def in_groups(groups: torch.Tensor, values: torch.Tensor, count: int) -> torch.Tensor:
    """Sums [count] of ``values`` [b], each into its group, ``groups`` Int64[b]; Float64, where the device has that."""
    dtype = torch.float32 if values.device.type == "mps" else torch.float64
    sums = torch.zeros(count, dtype=dtype, device=values.device)
    return sums.index_add_(0, groups, values.detach().to(dtype))


def _on(device: torch.device, sums: Sequence[torch.Tensor]) -> torch.Tensor:
    total = torch.stack(list(sums)).sum(dim=0)
    return _to(device, total.float() if device.type == "mps" else total)


def _to(device: torch.device, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(device, non_blocking=True)  # the host does not wait for what the device has to do before
