"""Between the device and the host: a read makes the host wait for all that the device has to do, so reads are few."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.collectives import Ranks


def read_together(tensors: Sequence[torch.Tensor]) -> list[NDArray[Any]]:
    """The values of Bool, Int64, Float32 and Float64 tensors of any shapes, in one copy from the first one's device."""
    return [] if not tensors else [found[0] for found in _read(tensors, tensors[0].device, lambda row: row)]


def read_of_all(tensors: Sequence[torch.Tensor], ranks: Ranks) -> list[NDArray[Any]]:
    """What every rank has of such tensors, each [world, ...], in one exchange and one copy from the device.

    Collective: as many tensors on every rank, of the same shapes and dtypes.
    """
    return [] if not tensors else _read(tensors, ranks.device, ranks.gather_rows)


def _read(
    tensors: Sequence[torch.Tensor], device: torch.device, exchange: Callable[[torch.Tensor], torch.Tensor]
) -> list[NDArray[Any]]:
    """What ``exchange`` makes of one row of all values: [rows, ...] for each tensor."""
    kinds = {tensor.dtype for tensor in tensors}
    flat = [tensor.detach().reshape(-1).to(device, non_blocking=True) for tensor in tensors]
    row = torch.cat(flat if len(kinds) == 1 else [_as_bits(part) for part in flat])
    values = exchange(row[None]).cpu().numpy()
    ends = np.cumsum([len(part) for part in flat])
    parts = zip(tensors, np.split(values, ends[:-1], axis=1), strict=True)
    return [(_from_bits(part, like.dtype) if len(kinds) > 1 else part).reshape(-1, *like.shape) for like, part in parts]


def on_host(batch: Mapping[str, Any], name: str) -> NDArray[Any]:
    """A tensor of ``batch`` as it was before it was placed on the device, where the batch knows that still."""
    kept = getattr(batch, "on_host", {}).get(name)
    found: NDArray[Any] = (batch[name].cpu() if kept is None else kept).numpy()
    return found


def _as_bits(flat: torch.Tensor) -> torch.Tensor:
    """Int64[n] of n values, from which `_from_bits` has them back bit by bit."""
    if flat.dtype == torch.float64:
        return flat.view(torch.int64)
    return (flat.view(torch.int32) if flat.dtype == torch.float32 else flat).long()


def _from_bits(bits: NDArray[np.int64], kind: torch.dtype) -> NDArray[Any]:
    if kind == torch.float64:
        return np.ascontiguousarray(bits).view(np.float64)
    if kind == torch.float32:
        return bits.astype(np.int32).view(np.float32)
    return bits.astype(np.bool_) if kind == torch.bool else bits
