"""Features of samples by the tokens in them: hashed tf-idf, folded into a few hundred numbers. Made once, and free.

A row of 512 numbers in half precision a sample: 1 KB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]  # scipy has no types

Ids = NDArray[np.int64]
Tokens = Callable[[int, int], list[Any]]
"""The token ids of samples ``start`` to ``stop - 1``, a sequence of whole numbers each."""

WIDTH = 512
VERSION = 1
"""Counted up when what the numbers mean changes."""
_BUCKETS = 1 << 18  # tokens above share one
_BLOCK = 4096


def token_features(tokens: Tokens, table: NDArray[np.float16], *, seed: int = 0) -> None:
    """Fill ``table`` Float16[N, 512] with the features of N samples.

    The rows have length one, but for samples without tokens, which are zero. Needs memory for some thousand samples.
    """
    from sklearn.feature_extraction.text import TfidfTransformer  # type: ignore[import-untyped]  # no types
    from sklearn.random_projection import SparseRandomProjection  # type: ignore[import-untyped]  # no types

    tfidf = TfidfTransformer(sublinear_tf=True).fit(_counts([[0]]))
    tfidf.idf_ = _inverse_frequencies(tokens, len(table))
    fold = SparseRandomProjection(WIDTH, dense_output=True, random_state=seed).fit(_counts([[0]]))
    for start, counts in _blocks(tokens, len(table)):
        rows = fold.transform(tfidf.transform(counts))
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        table[start : start + len(rows)] = rows / np.where(lengths > 0, lengths, 1)


def _inverse_frequencies(tokens: Tokens, size: int) -> NDArray[np.float64]:
    """As scikit-learn has them: ln((1 + samples) / (1 + samples with the token)) + 1."""
    holding = np.zeros(_BUCKETS)
    for _, counts in _blocks(tokens, size):
        holding += np.bincount(counts.indices, minlength=_BUCKETS)
    return np.log((1 + size) / (1 + holding)) + 1


def _blocks(tokens: Tokens, size: int) -> Iterator[tuple[int, csr_matrix]]:
    for start in range(0, size, _BLOCK):
        yield start, _counts(tokens(start, min(start + _BLOCK, size)))


def _counts(rows: list[Any]) -> csr_matrix:
    """How often each token is in each sample: [n, buckets], every bucket of a row once."""
    from scipy.sparse import csr_matrix

    ends = np.cumsum([0, *(len(row) for row in rows)])
    flat = (
        np.concatenate([np.asarray(row, dtype=np.int64) for row in rows]) if ends[-1] else np.empty(0, dtype=np.int64)
    )
    counts = csr_matrix((np.ones(len(flat)), flat % _BUCKETS, ends), shape=(len(rows), _BUCKETS))
    counts.sum_duplicates()
    return counts
