"""Random numbers that depend on a key alone: the same on every rank, in every process and after a resume."""

from __future__ import annotations

import numpy as np


def derive(*key: int | str) -> np.random.Generator:
    """A generator that depends on the whole key and on nothing else: the same on every rank and after a resume."""
    words: list[int] = [len(key)]
    for part in key:
        data = part.encode() if isinstance(part, str) else int(part).to_bytes(16, "little", signed=True)
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        words.append(len(data))
        words.extend(int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def strategy_rng(seed: int, slot: object, name: str, step: int, *key: int | str) -> np.random.Generator:
    """The generator of the strategy ``name`` in a ``slot`` at an optimizer step."""
    return derive(seed, str(slot), name, step, *key)
