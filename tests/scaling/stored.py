"""What a stored answer takes on disk, measured: those of a frozen model, by sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dataflex_core.scoring.store import Store

_SAMPLES = 10_000


def bytes_of(values: int, folder: Path) -> float:
    """Bytes a sample of answers of so many numbers in four bytes each."""
    shelf = Store(folder, lambda text: None).shelf({"values": values}, about={"what": "any"})
    keys = np.array([i.to_bytes(16, "big") for i in range(1, _SAMPLES + 1)], dtype="S16")
    rows = np.zeros(_SAMPLES * values, dtype=np.float32)
    shelf.add(keys, np.full(_SAMPLES, values, dtype=np.int64), rows)
    return sum(path.stat().st_size for path in folder.rglob("*.answers")) / _SAMPLES
