"""Time that is comparable within one process: of the processor on CPU, of the wall around a finished queue on GPU."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import torch


def now(device: torch.device) -> float:
    """Seconds. On a shared CPU the time of this process alone, in all of its threads."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def alternate(
    first: Callable[[], object], second: Callable[[], object], *, device: torch.device, repeats: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of each call of two functions: both once to warm up, then in turns, the one that begins taking turns."""
    sides = (first, second)
    for call in sides:
        call()
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(repeats):
        for side in (0, 1) if turn % 2 == 0 else (1, 0):
            gc.collect()
            start = now(device)
            sides[side]()
            taken[side].append(now(device) - start)
    return tuple(taken[0]), tuple(taken[1])
