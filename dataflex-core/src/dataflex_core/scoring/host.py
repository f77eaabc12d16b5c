"""Between the device and the host: a read makes the host wait for all that the device has to do, so reads are few."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


def read_together(tensors: Sequence[torch.Tensor]) -> list[NDArray[Any]]:
    """The values of Bool, Int64, Float32 and Float64 tensors of any shapes, in one copy from the first one's device."""
    if not tensors:
        return []
    kinds = {tensor.dtype for tensor in tensors}
    flat = [tensor.detach().reshape(-1).to(tensors[0].device) for tensor in tensors]
    if len(kinds) == 1:
        values = torch.cat(flat).cpu().numpy()
    else:
        values = torch.cat([_as_bits(part) for part in flat]).cpu().numpy()
    ends = np.cumsum([len(part) for part in flat])
    parts = zip(tensors, np.split(values, ends[:-1]), strict=True)
    return [(_from_bits(part, like.dtype) if len(kinds) > 1 else part).reshape(like.shape) for like, part in parts]


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
        return bits.view(np.float64)
    if kind == torch.float32:
        return bits.astype(np.int32).view(np.float32)
    return bits.astype(np.bool_) if kind == torch.bool else bits
