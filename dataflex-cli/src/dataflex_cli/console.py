"""Lines of ours on the terminal, above the bars of others, or as JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

import click

Level = Literal["info", "warning", "error", "result"]


@dataclass(slots=True, kw_only=True)
class Voice:
    """How lines of ours are said in this process: all or, ``quiet``, warnings and results alone; as text or JSON.

    ``stream`` is where they go, None for what standard output is when a line is said.
    """

    quiet: bool = False
    as_json: bool = False
    stream: TextIO | None = None


voice = Voice()
"""That of this process; `dataflex_cli.speaking` sets it for a command."""


def counted(number: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def say(
    text: str,
    *,
    level: Level = "info",
    event: str = "message",
    fields: Mapping[str, Any] | None = None,
    plain: str | None = None,
) -> None:
    """Print a line of ours, in a write of its own, into which no other process of the run can print.

    As JSON it is an object with ``event``, ``level``, ``text`` and ``fields``. ``plain`` is what a terminal is shown
    in place of ``text`` with our name before it. A line of level ``info`` is not said to who wants quiet.
    """
    if voice.quiet and level == "info":
        return
    if voice.as_json:
        told = {"event": event, "level": level, "text": text, "fields": dict(fields or {})}
        _write(json.dumps(told, ensure_ascii=False, allow_nan=False, default=str))
    else:
        _write(click.style("DataFlex: ", fg="cyan") + text if plain is None else plain)


def warn(text: str) -> None:
    """Say something that a person should know."""
    say(text, level="warning")


def _write(line: str) -> None:
    stream = voice.stream or sys.stdout
    stream.flush()
    # Through tqdm where there may be a bar: a line of its own above it, not the rest of its line.
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    if tqdm is not None:
        with tqdm.external_write_mode(file=stream):
            click.echo(line, file=stream)
    else:
        click.echo(line, file=stream)
