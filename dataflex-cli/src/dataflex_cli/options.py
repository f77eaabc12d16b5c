"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click

from dataflex_core.catalog import Plugins

Command = Callable[..., Any]


def plugin_options(command: Command) -> Command:
    """``--plugin FILE`` and ``--no-plugins``; the command is given them as ``plugins``."""

    @click.option("--plugin", "files", multiple=True, metavar="FILE", help="A .py file with strategies. Repeatable.")
    @click.option("--no-plugins", is_flag=True, help="Leave installed plugins out, but DataFlex's own.")
    @wraps(command)
    def given(*args: Any, files: tuple[str, ...], no_plugins: bool, **others: Any) -> Any:
        return command(*args, plugins=chosen_plugins(files, no_plugins=no_plugins), **others)

    return given


def chosen_plugins(files: Iterable[str], *, no_plugins: bool) -> Plugins:
    """What the environment variables say, and the options over them."""
    said = Plugins.of(os.environ)
    found = tuple(dict.fromkeys(Path(file).absolute() for file in files))
    return replace(said, only=frozenset() if no_plugins else said.only, files=found)
