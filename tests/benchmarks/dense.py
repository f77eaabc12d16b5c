"""How public LESS tools score: a backward pass a sample, and a dense random projection of every 16 gradients.

The matrix is of random signs, seeded, and as it would not fit into memory it is made afresh for every 16 samples, block
of parameters by block. Nothing of DataFlex is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

Row = dict[str, list[int]]

_TOGETHER = 16
_BLOCK = {"cpu": 512}  # parameters; what fits a cache is fastest on a CPU
_BLOCK_ELSEWHERE = 1 << 16


class Signs:
    """Blocks of a random ±1 matrix in float16, the same for the same seed, made by `bernoulli_` as TRAK makes them.

    ``quick``, on a CPU: eight signs at a time, read from a table by a random byte, which is 20 times faster. Products
    are taken in float32 there: in float16 they take a hundred times longer.
    """

    def __init__(self, dim: int, *, seed: int, device: torch.device, quick: bool = False) -> None:
        self._dim = dim
        self._device = device
        self._quick = quick and device.type == "cpu"
        self._generator = torch.Generator(device).manual_seed(seed)
        bytes_ = torch.arange(256).unsqueeze(1) >> torch.arange(8)
        self._table = (bytes_ & 1).float().mul(2).sub(1)

    def block(self, rows: int) -> torch.Tensor:
        """The next Float[rows, dim]; ``dim`` is a multiple of 64."""
        if self._quick:
            words = torch.empty(rows * self._dim // 64, dtype=torch.int64)
            words.random_(-(2**63), None, generator=self._generator)
            return self._table.index_select(0, words.view(torch.uint8).int()).view(rows, self._dim)
        block = torch.empty(rows, self._dim, dtype=torch.float16, device=self._device)
        block.bernoulli_(0.5, generator=self._generator).mul_(2).sub_(1)
        return block if self._device.type == "cuda" else block.float()


def features(
    model: Any,
    rows: Sequence[Row],
    *,
    dim: int,
    seed: int = 0,
    optimizer: torch.optim.Optimizer | None = None,
    quick: bool = False,
) -> torch.Tensor:
    """Projected gradients of length one, Float32[n, dim]; with ``optimizer`` the directions its Adam would take.

    The model is in train mode; the projection's scale, which lengths of one make no use of, is left out.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    direction = _plain if optimizer is None else _adam(optimizer, parameters)
    model.train()
    found = []
    for start in range(0, len(rows), _TOGETHER):
        gathered = [direction(_gradient(model, row, parameters)) for row in rows[start : start + _TOGETHER]]
        signs = Signs(dim, seed=seed, device=gathered[0].device, quick=quick)
        found.append(_project(torch.stack(gathered), signs, dim))
    return torch.nn.functional.normalize(torch.cat(found))


def _gradient(model: Any, row: Row, parameters: list[torch.nn.Parameter]) -> torch.Tensor:
    device = parameters[0].device
    model(**{key: torch.tensor([value], device=device) for key, value in row.items()}).loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])
    model.zero_grad(set_to_none=True)
    return gradient


def _plain(gradient: torch.Tensor) -> torch.Tensor:
    return gradient


def _adam(optimizer: Any, parameters: list[torch.nn.Parameter]) -> Callable[[torch.Tensor], torch.Tensor]:
    group = optimizer.param_groups[0]
    (beta1, beta2), eps = group["betas"], group["eps"]
    states = [optimizer.state[p] for p in parameters]
    first = torch.cat([state["exp_avg"].flatten() for state in states])
    second = torch.cat([state["exp_avg_sq"].flatten() for state in states])

    def direction(gradient: torch.Tensor) -> torch.Tensor:
        root = torch.sqrt(beta2 * second + (1 - beta2) * gradient**2 + eps)
        found: torch.Tensor = (beta1 * first + (1 - beta1) * gradient) / root
        return found

    return direction


def _project(gradients: torch.Tensor, signs: Signs, dim: int) -> torch.Tensor:
    """Float32[16, dim] of Float32[16, n]."""
    total = torch.zeros(len(gradients), dim, device=gradients.device)
    for part in torch.split(gradients, _BLOCK.get(gradients.device.type, _BLOCK_ELSEWHERE), dim=1):
        block = signs.block(part.shape[1])
        total += part.to(block.dtype) @ block
    return total
