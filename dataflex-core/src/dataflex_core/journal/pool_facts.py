"""What is known of a run's pool and machine, in a file beside the journal. numpy only."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dataflex_core.places import whole

FOLDER = "pool"
_ARRAYS = {"lengths": np.int32, "in_target": np.int64}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolFacts:
    """``lengths`` Int32[N] are the tokens of each sample, by id; one of ``cutoff_len`` may have been cut. It
    is 0 where samples are packed: then all are as long as fits.

    ``in_target`` Int64[n] are samples whose content stands in a target set, too. ``versions`` are those of packages,
    ``machine`` says in words what the run was on.
    """

    lengths: NDArray[np.int32]
    cutoff_len: int
    in_target: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    versions: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


def write_pool_facts(folder: Path, run: str, facts: PoolFacts, notice: Callable[[str], None]) -> None:
    """Write ``folder/pool/RUN.safetensors``, whole or not at all.

    A file that cannot be written is told, and the one of before goes: it may be of another pool.
    """
    path = pool_file(folder, run)
    words = {part.name: getattr(facts, part.name) for part in fields(facts) if part.name not in _ARRAYS}
    arrays = {name: getattr(facts, name).astype(kind) for name, kind in _ARRAYS.items()}
    try:
        with whole(path) as temporary:
            temporary.write_bytes(save(arrays, metadata={"facts": json.dumps(words)}))
    except OSError as error:
        drop_pool_facts(folder, run)
        notice(f"{path} could not be written: {error.strerror}; the report will lack lengths")


def drop_pool_facts(folder: Path, run: str) -> None:
    """Remove what `write_pool_facts` wrote, if it did, and can be."""
    with suppress(OSError):
        pool_file(folder, run).unlink(missing_ok=True)


def read_pool_facts(folder: Path, run: str) -> PoolFacts | None:
    """What `write_pool_facts` wrote; None where there is nothing, or nothing that can be read."""
    path = pool_file(folder, run)
    try:
        with safe_open(path, framework="numpy") as file:
            words = json.loads(file.metadata()["facts"])
            return PoolFacts(**{name: file.get_tensor(name) for name in _ARRAYS}, **words)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def pool_file(folder: Path, run: str) -> Path:
    """Where in the ``dataflex`` folder of a run's output they are."""
    return folder / FOLDER / f"{run}.safetensors"
