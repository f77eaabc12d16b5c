"""Shares of a number of things, rounded as their decimals say: 1.1 x 100 is 110, whatever 1.1 is in binary.

Arithmetic of doubles alone, so the same on every rank.
"""

from __future__ import annotations

import math

_CLOSE = 1e-12
"""How far from a whole number a product of a few factors may lie that is one."""


def rounded_up(product: float) -> int:
    """The least whole number that is no smaller than ``product``, 0 or more, but for how floats round."""
    nearest = round(product)
    return nearest if math.isclose(product, nearest, rel_tol=_CLOSE) else math.ceil(product)


def rounded_down(product: float) -> int:
    """The greatest whole number that is no larger than ``product``, 0 or more, but for how floats round."""
    nearest = round(product)
    return nearest if math.isclose(product, nearest, rel_tol=_CLOSE) else math.floor(product)
