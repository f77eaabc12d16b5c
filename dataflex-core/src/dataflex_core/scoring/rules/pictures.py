"""Which rows of a tensor beside the language model belong to which sample: those of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from dataflex_core.scoring.rules.layout import Layout, Shares


class Pictures(Layout):
    """The ways in which a batch's pictures lie in tensors: as many rows for each picture, or for each token of one.

    ``tokens`` and ``images`` are how many each sample has; none at all where nobody knows. ``witnesses`` are the
    samples whose pictures can change their losses.
    """

    def __init__(self, tokens: Sequence[int], images: Sequence[int], *, witnesses: int) -> None:
        super().__init__(len(tokens), 0)
        self.witnesses = witnesses
        self._images = sum(images)
        self._each = [each for each in (tokens, images) if sum(each)]

    def find(self, tensor: torch.Tensor) -> Shares | None:
        """How ``tensor`` lies; None where it is not of pictures."""
        rows = len(tensor) if tensor.ndim else 0
        for each in self._each if rows else ():
            share, rest = divmod(rows, sum(each))
            if not rest:
                return Shares(tuple(count * share for count in each))
        return None

    def repeats(self, tensor: torch.Tensor) -> int:
        """As `Layout.repeats`: one row does for all pictures."""
        return max(self._images, 1) if len(tensor) == 1 else 1


def pictures_of(batch: Mapping[str, Any], token: int | None) -> Pictures:
    """The layout of a batch's pictures, where ``token`` stands for each part of one in ``input_ids``, Int64[B, T].

    It is known where ``pixel_values`` has all there is beside text, each picture's rows as many as
    ``image_grid_thw`` says, or pictures of one size.
    """
    ids, mask = batch["input_ids"], batch.get("attention_mask")
    places = torch.zeros_like(ids, dtype=torch.bool) if token is None else ids == token
    tokens = places.sum(dim=1).tolist()
    images = _shared_out(_sizes(batch), tokens)
    if images is None:
        return Pictures([0] * len(ids), [0] * len(ids), witnesses=0)
    counted = places & mask.bool() if torch.is_tensor(mask) and mask.shape == ids.shape else places
    return Pictures(tokens, images, witnesses=int(counted.any(dim=1).sum()))


def beside_text(batch: Mapping[str, Any]) -> set[str]:
    """The names of what a batch has beside tokens: tensors of floats."""
    floats = {key for key, value in batch.items() if torch.is_tensor(value) and value.is_floating_point()}
    return floats - {"attention_mask", "rope_deltas"}


def _sizes(batch: Mapping[str, Any]) -> list[int]:
    """The size of each picture, in one unit; empty where it is not known."""
    if beside_text(batch) != {"pixel_values"} or "image_sizes" in batch:
        return []
    values, grid = batch["pixel_values"], batch.get("image_grid_thw")
    if torch.is_tensor(grid):
        sizes: list[int] = grid.prod(dim=1).tolist()
        return sizes if sum(sizes) == len(values) else []
    return [1] * len(values) if values.ndim == 4 else []


def _shared_out(sizes: list[int], tokens: list[int]) -> list[int] | None:
    """How many pictures each sample has, in their order, if a sample's are as large as its share of the tokens."""
    whole, every = sum(sizes), sum(tokens)
    counts, place = [], 0
    for count in tokens:
        wanted, start = count * whole, place
        while wanted > 0 and place < len(sizes):
            wanted -= sizes[place] * every
            place += 1
        if wanted:
            return None
        counts.append(place - start)
    return counts if sizes and place == len(sizes) else None
