"""The running optimizer's Adam moments, and the direction Adam would take for one sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from dataflex_core.scoring.sharded import is_sharded, shape_of

_ALL = slice(None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """First and second moment of one parameter, Float32[numel]; None before the first step, when they are zero.

    Each is divided by its ``correction``, of which Adam has 1 − β^t at its step t, and LESS none.
    """

    first: torch.Tensor | None
    second: torch.Tensor | None
    beta1: float
    beta2: float
    eps: float
    correction: tuple[float, float] = (1.0, 1.0)

    def at_step(self, step: int) -> Moments:
        """With Adam's corrections for its ``step``, from 1."""
        return replace(self, correction=(1 - self.beta1**step, 1 - self.beta2**step))

    def of(self, columns: slice) -> Moments:
        """Those of some of the parameter's numbers."""
        if self.first is None or self.second is None:
            return self
        return replace(self, first=self.first[columns], second=self.second[columns])


def moments_of(optimizer: object, parameters: Iterable[nn.Parameter]) -> dict[nn.Parameter, Moments] | None:
    """Each parameter's moments, or None where the optimizer is no Adam: it keeps no ``exp_avg`` and ``exp_avg_sq``.

    Under DeepSpeed every rank calls it, and moments are gathered a parameter at a time.
    """
    inner = unwrapped(optimizer)
    if inner is None:
        return None
    groups = {p: group for group in inner.param_groups for p in group["params"]}
    found: dict[nn.Parameter, Moments] = {}
    for parameter in parameters:
        # DeepSpeed's groups hold flat parts of many parameters; their settings are the same in all of them.
        gathered = hasattr(parameter, "_hp_mapping") or is_sharded(parameter)
        group = inner.param_groups[0] if gathered else groups.get(parameter, {})
        state = _gathered(parameter, inner) if gathered else inner.state.get(parameter, {})
        betas, eps = group.get("betas"), group.get("eps")
        if not isinstance(betas, tuple | list) or len(betas) != 2 or not isinstance(eps, float):
            return None
        if state and not _is_adams(state, shape_of(parameter)):
            return None
        found[parameter] = Moments(
            first=state["exp_avg"].detach().float().flatten() if state else None,
            second=state["exp_avg_sq"].detach().float().flatten() if state else None,
            beta1=float(betas[0]),
            beta2=float(betas[1]),
            eps=eps,
        )
    return found


def _gathered(parameter: nn.Parameter, inner: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """A parameter's whole moments from DeepSpeed's parts of them; nothing before the first step."""
    from deepspeed.utils import safe_get_full_optimizer_state

    if hasattr(parameter, "_hp_mapping") and not _linked(parameter, inner):
        return {}
    state = {key: safe_get_full_optimizer_state(parameter, key) for key in ("exp_avg", "exp_avg_sq")}
    return {} if any(value is None for value in state.values()) else state


def _linked(parameter: Any, inner: torch.optim.Optimizer) -> bool:
    """Whether ZeRO-1 or ZeRO-2 has moments, and those of ``parameter`` can be read; the same on every rank."""
    if not all(inner.state.get(flat) for group in inner.param_groups for flat in group["params"]):
        return False
    part = parameter._hp_mapping
    # DeepSpeed links a parameter to its moments at the first step: after a restart they are there before that.
    if part is not None and part.optim_fragment is None:
        (flat,) = inner.param_groups[part.param_group_index]["params"]
        part.set_optim_state_fragment(flat, inner.state[flat])
    return True


def _is_adams(state: Mapping[str, Any], shape: torch.Size) -> bool:
    # Some optimizers keep moments under the same names in a projected or quantised form.
    moments = [state.get("exp_avg"), state.get("exp_avg_sq")]
    return all(torch.is_tensor(m) and m.is_floating_point() and m.shape == shape for m in moments)


def unwrapped(optimizer: object) -> torch.optim.Optimizer | None:
    """The torch optimizer inside accelerate's wrapper, or None."""
    while not isinstance(optimizer, torch.optim.Optimizer) or hasattr(optimizer, "accelerator_state"):
        optimizer = getattr(optimizer, "optimizer", None)
        if optimizer is None:
            return None
    return optimizer


def adam_direction(gradients: torch.Tensor, moments: Moments) -> torch.Tensor:
    """``m' / √(v' + eps)`` of Float32[B, numel] gradients, with ``m' = β₁m + (1 − β₁)g``, ``v' = β₂v + (1 − β₂)g²``.

    ``m'`` and ``v'`` are divided by their corrections. With eps under the root, as LESS has it (arXiv:2402.04333), a
    gradient that is nothing but rounding is no whole step. Consumes its input.
    """
    root = gradients.square()
    of_first, of_second = moments.correction
    if moments.first is None or moments.second is None:
        made = gradients.mul_(1 - moments.beta1)
        root.mul_(1 - moments.beta2)
    else:
        made = torch.lerp(moments.first, gradients, 1 - moments.beta1)
        torch.lerp(moments.second, root, 1 - moments.beta2, out=root)
    if moments.correction != (1.0, 1.0):
        made.div_(of_first)
        root.div_(of_second)
    return made.div_(root.add_(moments.eps).sqrt_())


def direction(
    gradients: torch.Tensor,
    parameter: nn.Parameter,
    moments: Mapping[nn.Parameter, Moments] | None,
    columns: slice = _ALL,
) -> torch.Tensor:
    """Adam's direction of Float32[B, n] gradients of ``parameter``, or without moments these themselves.

    ``columns`` says of which n of the parameter's numbers they are.
    """
    return gradients if moments is None else adam_direction(gradients, moments[parameter].of(columns))
