"""Tables for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table


def print_table(table: Table, *, width: int | None = None) -> None:
    """Print it as it is written: "[a]" or ":b:" is no markup. ``width`` is for where no terminal is."""
    console = Console(markup=False, emoji=False)
    if width is not None and not console.is_terminal:
        console.width = width
    console.print(table)
