"""Samples that a mixer looks at: a few of each domain, drawn anew at each decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from dataflex_core import MixRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def drawn(
    request: MixRequest, most: int, *, usable: Callable[[NDArray[np.int64]], NDArray[np.bool_]] | None = None
) -> list[NDArray[np.int64]]:
    """Up to ``most`` samples Int64[n] of each domain, ascending, and distinct: of ``usable`` ones, Bool[n] of ids."""
    import numpy as np

    parts = []
    for domain in request.domains:
        ids = np.arange(domain.start, domain.start + domain.size)
        ids = ids if usable is None else ids[usable(ids)]
        parts.append(ids if len(ids) <= most else np.sort(request.rng.choice(ids, most, replace=False)))
    return parts
