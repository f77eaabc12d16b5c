"""What strategies ask signals with, checked alike by those of a run and those of the conformance kit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from dataflex_core.errors import StrategyFault

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_HINT = "give ids Int64[n]; of a mask, request.candidates[mask]"


def as_ids(ids: Any, count: int) -> NDArray[np.int64]:
    """Sample ids as Int64[n], the same array where they are that.

    Raises `StrategyFault` for what is no row of whole numbers, such as a mask, and for an id that is none of ``count``
    samples'.
    """
    import numpy as np

    try:
        given = np.asarray(ids)
    except ValueError as error:  # lists of several lengths
        raise StrategyFault(f"sample ids are asked about that are no array: {error}", hint=_HINT) from error
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise StrategyFault(f"{given.dtype} of shape {given.shape} is asked about, not sample ids", hint=_HINT)
    if given.size and (given.min() < 0 or given.max() >= count):
        said = f"ids {given.min()} to {given.max()} are asked about, of {count} samples"
        raise StrategyFault(said, hint=f"ids are 0 to {count - 1}" if count else "there is no sample to ask about")
    return given.astype(np.int64, copy=False)


def check_sampling(*, count: int, max_new_tokens: int, temperature: float | None, top_p: float) -> None:
    """Raise `StrategyFault` where completions cannot be drawn so, or would all be the same."""
    if temperature is None and count > 1:
        raise StrategyFault("greedy completions of one prompt are all the same", hint="give a temperature")
    for name, value in (("count", count), ("max_new_tokens", max_new_tokens)):
        if value < 1:
            raise StrategyFault(f"{name}={value} is asked for", hint=f"{name} is 1 or more")
    if temperature is not None and not 0 < temperature < math.inf:
        raise StrategyFault(f"temperature={temperature} is asked for", hint="give one above 0, or None for greedy ones")
    if not 0 < top_p <= 1:
        raise StrategyFault(f"top_p={top_p} is asked for", hint="top_p is above 0, and 1 at most")
