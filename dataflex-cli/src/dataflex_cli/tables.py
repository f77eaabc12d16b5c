"""Tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def print_table(table: Table, *, width: int | None = None) -> None:
    """Print ``table`` to stdout as it is written: "[a]" or ":b:" is no markup.

    It is as wide as the terminal; where there is none, ``width`` columns, or rich's 80 for None.
    """
    console = Console(markup=False, emoji=False)
    if width is not None and not console.is_terminal:
        console.width = width
    # A terminal breaks a line that is too long for it where it can still be read: no word is cut into pieces.
    console.width = max(console.width, console.measure(table).minimum)
    console.print(table)
