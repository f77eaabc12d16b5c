"""From a plan to the batches of one rank, with sample ids travelling along."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from dataflex_core.scoring.feed import Feed
from dataflex_core.scoring.targets import predicting
from dataflex_core.trainer.pieces import pieces_of

ID = "dataflex_id"
IDS = "dataflex_ids"
PIECES = "dataflex_pieces"
PLACES = "dataflex_places"


class Identified(Dataset[dict[str, Any]]):
    """A map-style data set whose samples carry their index under the key `ID`."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {**self.dataset[index], ID: index}

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        many = getattr(self.dataset, "__getitems__", None)
        rows = many(list(indices)) if many is not None else [self.dataset[i] for i in indices]
        return [{**row, ID: index} for row, index in zip(rows, indices, strict=True)]


class IdentifyingCollator:
    """Collates as ``collate`` does, and keeps the samples' ids in the batch: Int64[B] under the key `IDS`.

    A numpy array, which stays on the host where tensors are moved to the device; so do the `Pieces` of packed rows,
    under the key `PIECES`, and the places in the flat batch that predict a target token, Int64[n], under `PLACES`:
    how many these are is known without waiting for the device.
    """

    def __init__(self, collate: Callable[[list[dict[str, Any]]], Mapping[str, Any]]) -> None:
        self.collate = collate

    def __call__(self, features: list[dict[str, Any]]) -> Mapping[str, Any]:
        ids = [feature.pop(ID) for feature in features if ID in feature]
        batch = self.collate(features)
        if ids:
            about = {IDS: np.array(ids, dtype=np.int64), PIECES: pieces_of(batch), PLACES: _places(batch)}
            batch.update(about)  # type: ignore[attr-defined]  # it is a dict
        return batch


def _places(batch: Mapping[str, Any]) -> NDArray[np.int64] | None:
    labels = batch.get("labels")
    return np.flatnonzero(predicting(labels.numpy())) if torch.is_tensor(labels) and labels.ndim == 2 else None


def rank_batches(
    plan: NDArray[np.int64], *, micro_batches: int, batch_size: int, rank: int, world: int
) -> list[list[int]]:
    """One rank's micro-batches of a plan, in order.

    ``plan`` is Int64[steps x micro_batches x world x batch_size]: a micro-batch is contiguous in the plan, whatever
    the number of ranks that share it.
    """
    shaped = plan.reshape(-1, micro_batches, world, batch_size)
    batches: list[list[int]] = shaped[:, :, rank].reshape(-1, batch_size).tolist()
    return batches


def plan_feed(dataset: Any, collate: Callable[..., Any], args: Any) -> Feed:
    """A loader for the batches of any plan, with the workers that the training arguments ask for."""
    return Feed(
        dataset,
        collate,
        workers=args.dataloader_num_workers,
        pin_memory=args.dataloader_pin_memory and torch.cuda.is_available(),
        prefetch_factor=args.dataloader_prefetch_factor,
    )
