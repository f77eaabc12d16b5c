"""`neighbours`: memory and time to find neighbours of 10,000 targets among a million candidates, as `tsds` does.

``python -m benchmarks.neighbours WIDTH LIBRARY`` does it once, in a process whose memory is only that.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Bound, Finding, Measure, Side
from dataflex_strategies.neighbours import Library, nearest, unit

if TYPE_CHECKING:
    from benchmarks.bench import Bench  # it imports torch, which is not to be in the process that is measured

CANDIDATES, TARGETS, NEIGHBOURS, WIDTH = 1_000_000, 10_000, 5000, 64
_BLOCK = 100_000


def run(bench: Bench, repeats: int) -> Finding:
    """Gigabytes that a process holds at the most, and its seconds, with embeddings of 64 numbers."""
    found = []
    for _ in range(repeats):
        command = [sys.executable, "-m", "benchmarks.neighbours", str(WIDTH), "scikit-learn"]
        found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    memory = tuple(one["memory"] for one in found)
    return Finding(
        value=max(memory),
        repeats=memory,
        sides=(
            Side(label="memory", unit="GB", values=memory),
            Side(label="search", unit="s", values=tuple(one["seconds"] for one in found)),
        ),
        notes=(f"{TARGETS} targets, {NEIGHBOURS} neighbours of each",),
    )


def once(width: int, library: Library) -> dict[str, float]:
    """Of this process: gigabytes at the most, those before the search, and the search's seconds."""
    points = np.empty((CANDIDATES, width), dtype=np.float32)
    for start in range(0, CANDIDATES, _BLOCK):
        points[start : start + _BLOCK] = _random(_BLOCK, width, seed=start)
    targets = _random(TARGETS, width, seed=1)
    before, began = _gigabytes(), time.process_time()
    nearest(points, targets, NEIGHBOURS, library=library)
    return {"before": before, "seconds": time.process_time() - began, "memory": _gigabytes()}


def _random(count: int, width: int, *, seed: int) -> NDArray[np.float32]:
    return unit(np.random.default_rng(seed).standard_normal((count, width), dtype=np.float32))


def _gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


MEASURE = Measure(
    name="neighbours",
    what="GB to find 5,000 neighbours of each of 10,000 targets among a million candidates",
    bound=Bound(value=2, at_most=True),
    run=run,
)

if __name__ == "__main__":
    print(json.dumps(once(int(sys.argv[1]), cast("Library", sys.argv[2]))))
