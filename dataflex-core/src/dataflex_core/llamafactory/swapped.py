"""Functions and classes of LLaMA-Factory's modules, replaced for the time of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def swapped(module: Any, **by: Any) -> Iterator[dict[str, Any]]:
    """While the block runs, names of ``module`` mean what ``by`` says; what they meant before is given to the block."""
    stock = {name: getattr(module, name) for name in by}
    for name, value in by.items():
        setattr(module, name, value)
    try:
        yield stock
    finally:
        for name, value in stock.items():
            setattr(module, name, value)
