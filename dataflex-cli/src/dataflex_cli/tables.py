"""Tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_ANY = 10_000
"""Columns that no table needs."""


def print_table(table: Table, *, width: int | None = None) -> None:
    """Print ``table`` to stdout as it is written: "[a]" or ":b:" is no markup.

    It is as wide as the terminal; where there is none, ``width`` columns, or rich's 80 for None.
    """
    console = Console(markup=False, emoji=False)
    if width is not None and not console.is_terminal:
        console.width = width
    # A terminal breaks a line that is too long for it where it can still be read: no word is cut into pieces.
    unbounded = console.options.update(max_width=_ANY)  # what is measured never asks for more than it is given
    console.width = max(console.width, console.measure(table, options=unbounded).minimum)
    console.print(table)
