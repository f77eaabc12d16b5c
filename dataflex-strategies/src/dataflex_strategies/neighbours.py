"""Nearest neighbours among points, exactly, in blocks that fit in memory; scikit-learn's by default, or faiss's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from dataflex_core import UsageError
from dataflex_strategies.threads import one_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Points = NDArray[np.floating]
    Distances = NDArray[np.float64]
    Ids = NDArray[np.int64]

Library = Literal["scikit-learn", "faiss"]
"""Who looks for neighbours. faiss is the extra of that name."""
_BLOCK = 2**22  # numbers of a block's answer: 64 MB with what sorting it takes


def check_installed(library: Library, owner: str) -> None:
    """Raise `UsageError` where a strategy, ``owner``, asks for a library that is not installed."""
    if library == "faiss" and find_spec("faiss") is None:
        raise UsageError(
            f"{owner}: faiss is not installed", hint="pip install 'dataflex-strategies[faiss]', or take scikit-learn"
        )


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows Float32[n, H] of length one; a row of zeros stays as it is."""
    import numpy as np

    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    made: NDArray[np.float32] = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return made


def nearest(points: Points, queries: Points, k: int, *, library: Library = "scikit-learn") -> tuple[Distances, Ids]:
    """Euclidean distances Float64[M, k] and rows Int64[M, k] of the ``k`` of N ``points`` nearest to M ``queries``.

    Nearest first, equal distances by row. ``points`` Float[N, H], ``queries`` Float[M, H], k at most N. Besides the
    answer it holds blocks of it, and never distances of all pairs.
    """
    import numpy as np

    distances, rows = np.empty((len(queries), k)), np.empty((len(queries), k), dtype=np.int64)
    done = 0
    for near, which in blocks(points, queries, k, library=library):
        distances[done : done + len(near)], rows[done : done + len(near)] = near, which
        done += len(near)
    return distances, rows


def blocks(
    points: Points, queries: Points, k: int, *, library: Library = "scikit-learn"
) -> Iterator[tuple[Distances, Ids]]:
    """What `nearest` answers, a block of queries at a time."""
    import numpy as np

    size = max(1, _BLOCK // k)
    search = _SEARCHES[library](points)
    # Several threads may keep others of several points at the same distance.
    with one_thread():
        for start in range(0, len(queries), size):
            distances, rows = search(queries[start : start + size], k)
            order = np.lexsort((rows, distances), axis=1)
            yield np.take_along_axis(distances, order, axis=1), np.take_along_axis(rows, order, axis=1)


_Search = Callable[["Points", int], tuple["Distances", "Ids"]]


def _scikit_learn(points: Points) -> _Search:
    from sklearn.neighbors import NearestNeighbors  # type: ignore[import-untyped]  # no types

    found = NearestNeighbors(algorithm="brute", metric="euclidean").fit(points)

    def search(queries: Points, k: int) -> tuple[Distances, Ids]:
        distances, rows = found.kneighbors(queries, n_neighbors=k)
        return distances.astype("f8"), rows.astype("i8")

    return search


def _faiss(points: Points) -> _Search:
    import faiss  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra, without types
    import numpy as np

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points, dtype=np.float32))

    def search(queries: Points, k: int) -> tuple[Distances, Ids]:
        squares, rows = index.search(np.ascontiguousarray(queries, dtype=np.float32), k)
        return np.sqrt(np.maximum(squares, 0)).astype(np.float64), rows.astype(np.int64)

    return search


_SEARCHES: dict[Library, Callable[[Points], _Search]] = {"scikit-learn": _scikit_learn, "faiss": _faiss}
