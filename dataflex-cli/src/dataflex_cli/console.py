"""Lines of ours on the terminal, above the bars of others."""

from __future__ import annotations

import sys

import click


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(text: str) -> None:
    """Print a line of ours, in a write of its own, into which no other process of the run can print."""
    line = click.style("DataFlex: ", fg="cyan") + text
    sys.stdout.flush()
    # Through tqdm where there may be a bar: a line of its own above it, not the rest of its line.
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if tqdm is not None:
        with tqdm.external_write_mode():
            click.echo(line)
    else:
        click.echo(line)
