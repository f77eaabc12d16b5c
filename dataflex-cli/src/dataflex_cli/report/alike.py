"""Texts that are the same, or nearly: among chosen samples, and between these and target sets."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from dataflex_cli.report.model import Leaks, Sample, Twins
from dataflex_cli.report.reading import Seen
from dataflex_core.trainer.leaks import squeezed

ALIKE = 0.8
"""The Jaccard index of their shingles from which on two texts are nearly the same."""
_SHINGLE = 5
_SKETCH = 64
_COMMON = 0.2
_FEW = 10
_NAMED = 3

Pair = tuple[int, int, bool]


def twins_of(samples: Sequence[Sample]) -> tuple[Twins, ...]:
    """Of the chosen samples shown, those whose texts are the same or nearly, in pairs."""
    texts = {row.sample: " ".join(text for _, text in row.pieces) for row in samples if row.chosen and row.pieces}
    numbers = sorted(texts)
    return tuple(
        Twins(sample=numbers[one], other=numbers[other], same=same)
        for one, other, same in pairs_alike([texts[number] for number in numbers])
    )


def leaks_of(seen: Seen) -> Leaks:
    """Samples of target sets in the pool: those found as the run began, and those whose texts are shown."""
    found = np.zeros(0, dtype=np.int64) if seen.pool is None else seen.pool.in_target
    pool = list(seen.texts.samples.values())
    texts = [" ".join(piece.text for piece in text.pieces) for text in (*pool, *seen.texts.targets)]
    near = (
        Twins(sample=pool[one].sample, other=seen.texts.targets[other - len(pool)].sample, same=same)
        for one, other, same in pairs_alike(texts if seen.texts.targets else [])
        if one < len(pool) <= other
    )
    trained = found[np.isin(found, seen.trace.ids)]
    some = (*trained[:_NAMED].tolist(), *np.setdiff1d(found, trained)[:_NAMED].tolist())[:_NAMED]
    return Leaks(pool=len(found), trained=len(trained), some=some, near=tuple(near))


def pairs_alike(texts: Sequence[str]) -> list[Pair]:
    """Pairs of places of ``texts``, the lower first, and whether these are the same but for case and spaces.

    Others share at least four fifths of their shingles, five words each, but for those that a fifth of all texts have,
    as templates and system prompts do. Which pairs are looked at is told by the 64 smallest hashes of each, a sketch of
    fixed size, so that time and memory grow with the number of texts (Broder, 1997). Of texts that are the same, each
    is paired with the first.
    """
    first: dict[str, int] = {}
    pairs: list[Pair] = []
    for place, text in enumerate(texts):
        before = first.setdefault(squeezed(text), place)
        if before != place:
            pairs.append((before, place, True))
    kept = list(first.values())
    shingles = _told_apart([_shingles(texts[place]) for place in kept])
    pairs += [(kept[one], kept[other], False) for one, other in _near(shingles)]
    return sorted(pairs)


def _near(shingles: Sequence[frozenset[int]]) -> Iterator[tuple[int, int]]:
    """Pairs that share half of their sketches, as most that are alike do, and are then found to be alike."""
    from scipy.sparse import csr_array, triu  # type: ignore[import-untyped]  # scipy has no types

    sketches = [sorted(found)[:_SKETCH] for found in shingles]
    sizes = np.array([len(one) for one in sketches], dtype=np.int64)
    if not sizes.sum():
        return
    _, columns = np.unique(np.concatenate([np.array(one, dtype=np.int64) for one in sketches]), return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    table = csr_array((np.ones(len(columns), dtype=np.int32), columns, starts))
    shared = triu(table @ table.T, k=1).tocoo()
    likely = shared.data >= 0.5 * np.minimum(sizes[shared.row], sizes[shared.col])
    for one, other in zip(shared.row[likely].tolist(), shared.col[likely].tolist(), strict=True):
        if len(shingles[one] & shingles[other]) >= ALIKE * len(shingles[one] | shingles[other]):
            yield one, other


def _told_apart(shingles: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """Without the shingles that many texts have: these say nothing of any two."""
    if not shingles:
        return []
    values, counts = np.unique(
        np.concatenate([np.fromiter(found, dtype=np.int64, count=len(found)) for found in shingles]), return_counts=True
    )
    common = frozenset(values[counts > max(_FEW, _COMMON * len(shingles))].tolist())
    return [found - common for found in shingles]


def _shingles(text: str) -> frozenset[int]:
    words = re.findall(r"\w+", text.casefold())
    windows = (" ".join(words[i : i + _SHINGLE]) for i in range(max(1, len(words) - _SHINGLE + 1)))
    return frozenset(zlib.crc32(window.encode()) for window in windows)
