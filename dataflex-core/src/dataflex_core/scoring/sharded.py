"""Parameters of which DeepSpeed ZeRO-3 keeps only a part on this rank."""

from __future__ import annotations

import torch
from torch import nn


def is_sharded(parameter: nn.Parameter) -> bool:
    """Whether this rank keeps only a part of the parameter."""
    return hasattr(parameter, "ds_id")


def shape_of(parameter: nn.Parameter) -> torch.Size:
    """The shape of the whole parameter; where it is sharded, its own ``shape`` is that of what is here."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def part_of(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's part of a parameter or buffer: all of it, where it is not sharded."""
    part: torch.Tensor = getattr(tensor, "ds_tensor", tensor)
    local = getattr(part, "to_local", None)  # of FSDP 2
    return part if local is None else local()
