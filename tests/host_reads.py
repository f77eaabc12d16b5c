"""Counts where DataFlex's own code waits for the device, in runs on a CPU, where nothing has to wait.

A GPU makes the host wait where a value of a tensor is asked for (``bool``, ``float``, ``item``, ``tolist``), where a
tensor is moved to the CPU, and where the shape of a result depends on values, as that of ``x[mask]`` does. The first
and the last are operators, which a dispatch mode sees on any device; that a tensor which lies on the CPU is moved there
shows in the call alone. ``numpy`` is no read: of a tensor on a GPU it raises.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_WAITS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
}
_MOVES = {torch.Tensor.cpu, torch.Tensor.tolist}


class HostReads:
    """The reads in the order in which they came, each ``module.function:line`` of the code that asked."""

    def __init__(self) -> None:
        self.places: list[str] = []

    def __len__(self) -> int:
        return len(self.places)

    def taken(self) -> list[str]:
        """Those since the last time."""
        places, self.places = self.places, []
        return places

    def counted(self) -> Counter[str]:
        """How many there were of each place."""
        return Counter(self.places)


@contextmanager
def host_reads(*packages: str) -> Iterator[HostReads]:
    """Counts reads that the code of ``packages`` asks for in the block, itself and not by way of another library."""
    found = HostReads()
    with _Moves(found, packages), _Operators(found, packages):
        yield found


def _asker(packages: tuple[str, ...]) -> str | None:
    """The place that asks, if it is one of ``packages``: torch's own frames are passed over."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("torch.utils.data"):
            return None  # a loader's random numbers lie on the host
        if module.split(".")[0] not in ("torch", "contextlib", __name__):
            inside = module.split(".")[0] in packages
            return f"{module}.{frame.f_code.co_name}:{frame.f_lineno}" if inside else None
        frame = frame.f_back
    return None


class _Moves(TorchFunctionMode):
    def __init__(self, found: HostReads, packages: tuple[str, ...]) -> None:
        super().__init__()
        self._found, self._packages = found, packages

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        to_cpu = func is torch.Tensor.to and any(
            isinstance(given, str) and given == "cpu" for given in (*args[1:], *kwargs.values())
        )
        if (func in _MOVES or to_cpu) and (place := _asker(self._packages)):
            self._found.places.append(place)
        return func(*args, **kwargs)


class _Operators(TorchDispatchMode):
    def __init__(self, found: HostReads, packages: tuple[str, ...]) -> None:
        super().__init__()
        self._found, self._packages = found, packages

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._waits(func, args) and (place := _asker(self._packages)):
            self._found.places.append(place)
        return func(*args, **(kwargs or {}))

    def _waits(self, func: Any, args: Any) -> bool:
        name = func._schema.name
        if name in ("aten::index", "aten::index_put", "aten::index_put_"):
            return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
        return name in _WAITS
