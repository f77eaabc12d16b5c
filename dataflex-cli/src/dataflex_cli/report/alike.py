"""Texts that are the same, or nearly: among chosen samples, and between these and target sets."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np

from dataflex_cli.report.reading import Seen
from dataflex_cli.report.single import Leaks, Sample, Twins
from dataflex_core.trainer.leaks import squeezed

ALIKE = 0.8
"""The Jaccard index of their shingles from which on two texts are nearly the same."""
_SHINGLE = 5
_SKETCH = 64
_PAIRS = 20_000
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
    pool = [text for text in seen.texts.samples.values() if text.pieces]
    targets = [text for text in seen.texts.targets if text.pieces]
    texts = [" ".join(piece.text for piece in text.pieces) for text in (*pool, *targets)]
    near = (
        Twins(sample=pool[one].sample, other=targets[other - len(pool)].sample, same=same)
        for one, other, same in pairs_alike(texts if targets else [], across=len(pool))
    )
    trained = found[np.isin(found, seen.trace.ids)]
    some = (*trained[:_NAMED].tolist(), *np.setdiff1d(found, trained)[:_NAMED].tolist())[:_NAMED]
    return Leaks(pool=len(found), trained=len(trained), some=some, near=tuple(near))


def pairs_alike(texts: Sequence[str], *, across: int | None = None) -> list[Pair]:
    """Pairs of places of ``texts``, the lower first, and whether these are the same but for case and spaces.

    Others share at least four fifths of their shingles, five words each, but for those that a fifth of all texts have,
    as templates and system prompts do. With ``across`` only pairs of one text before that place with one from there on.
    Not each pair is named: every text that has a twin is in one. Of texts that are the same, each is paired with the
    first. The time is bounded: which pairs are looked at, 20,000 at most, is told by the 64 smallest hashes of each
    text, its sketch (Broder, 1997).
    """
    first: dict[str, int] = {}
    pairs: list[Pair] = []
    for place, text in enumerate(texts):
        before = first.setdefault(squeezed(text), place)
        if before != place:
            pairs.append((before, place, True))
    kept = list(first.values())
    shingles = _told_apart([_shingles(texts[place]) for place in kept])
    found = ((kept[one], kept[other], False) for one, other in _likely(shingles))
    pairs = [pair for pair in pairs if _crosses(pair, across)]
    pairs += _alike((pair for pair in found if _crosses(pair, across)), dict(zip(kept, shingles, strict=True)))
    return sorted(pairs)


def _crosses(pair: Pair, across: int | None) -> bool:
    return across is None or pair[0] < across <= pair[1]


def _alike(likely: Iterable[Pair], shingles: Mapping[int, frozenset[int]]) -> Iterator[Pair]:
    """Those that are alike, but for pairs of texts that both have a twin already."""
    twins: set[int] = set()
    for pair in islice(likely, _PAIRS):
        one, other = shingles[pair[0]], shingles[pair[1]]
        if not twins.issuperset(pair[:2]) and len(one & other) >= ALIKE * len(one | other):
            twins.update(pair[:2])
            yield pair


def _likely(shingles: Sequence[frozenset[int]]) -> Iterator[tuple[int, int]]:
    """Pairs that share half of their sketches, as nearly all that are alike do; those that share most first."""
    from scipy.sparse import csr_array, triu  # type: ignore[import-untyped]  # scipy has no types

    sketches = [sorted(found)[:_SKETCH] for found in shingles]
    sizes = np.array([len(one) for one in sketches], dtype=np.int64)
    if not sizes.sum():
        return
    _, columns = np.unique(np.concatenate([np.array(one, dtype=np.int64) for one in sketches]), return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    table = csr_array((np.ones(len(columns), dtype=np.int32), columns, starts))
    shared = triu(table @ table.T, k=1).tocoo()
    share = shared.data / np.minimum(sizes[shared.row], sizes[shared.col])
    order = np.argsort(-share, kind="stable")
    order = order[share[order] >= 0.5]
    yield from zip(shared.row[order].tolist(), shared.col[order].tolist(), strict=True)


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
