"""The largest number of bytes that tensors held at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


def peak_bytes(call: Callable[[], object], device: torch.device, resident: Iterable[torch.Tensor]) -> int:
    """Peak while ``call`` runs, what was there before included.

    On a GPU its allocator knows. On a CPU every allocation and release is read from the profiler, and ``resident``,
    the tensors that were there before, is added.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    before = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in resident}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    return sum(before.values()) + _highest(profile)


def _highest(profile: Any) -> int:
    """The highest running sum of the allocator's events, in order of time."""
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = highest = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        highest = max(highest, live)
    return highest
