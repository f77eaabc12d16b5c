"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from dataflex_cli.speaking import FORMATS, asked, speaking
from dataflex_cli.streams import keep_streams_open
from dataflex_core.catalog import Plugins, discover
from dataflex_core.errors import DataflexError
from dataflex_core.spec import Kind

Command = Callable[..., Any]
Names = tuple[str, ...]
Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

NONE = "none"
"""Asks for a kind of strategy to be left out of a run."""


class Once(click.Command):
    """A command that refuses an option given twice, of which click takes the last, but for those that are a list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:  # for a completion
            _, _, given = self.make_parser(ctx).parse_args(list(args))
            for option in dict.fromkeys(given):
                single = isinstance(option, click.Option) and not (option.multiple or option.is_flag)
                if single and given.count(option) > 1:
                    raise click.UsageError(f"{option.opts[0]} is given {given.count(option)} times", ctx)
        return super().parse_args(ctx, args)


def plugin_options(command: Command) -> Command:
    """``--plugin FILE`` and ``--no-plugins``; the command is given them as ``plugins``."""

    @click.option(
        "--plugin",
        "files",
        type=click.Path(),
        multiple=True,
        metavar="FILE",
        help="A .py file with strategies; repeatable.",
    )
    @click.option("--no-plugins", is_flag=True, help="Leave installed plugins out, but DataFlex's own.")
    @wraps(command)
    def given(*args: Any, files: tuple[str, ...], no_plugins: bool, **others: Any) -> Any:
        return command(*args, plugins=chosen_plugins(files, no_plugins=no_plugins), **others)

    return given


def chosen_plugins(files: Iterable[str], *, no_plugins: bool) -> Plugins:
    """What the environment variables admit, changed by the options; ``files`` become absolute, each once."""
    admitted = Plugins.of(os.environ)
    found = tuple(dict.fromkeys(Path(file).absolute() for file in files))
    return replace(admitted, only=frozenset() if no_plugins else admitted.only, files=found)


def voice_options(command: Command) -> Command:
    """``--quiet`` and ``--log-format``; the command speaks so."""

    @click.option("--quiet", is_flag=True, help="Print warnings, errors and the last line alone.")
    @click.option(
        "--log-format",
        type=click.Choice(FORMATS),
        default=None,
        help="json: standard output has a JSON object a line, and what others print goes to standard error.",
    )
    @wraps(command)
    def given(*args: Any, quiet: bool, log_format: str | None, **others: Any) -> Any:
        wanted = asked()
        wanted.quiet = wanted.quiet or quiet
        wanted.as_json = wanted.as_json if log_format is None else log_format == "json"
        keep_streams_open()
        with speaking(wanted):
            return command(*args, **others)

    return given


def strategy_names(kind: Kind | None = None, *others: str) -> Completer:
    """A completion of strategies by name, of one kind or of that in ``--kind``; ``others`` are offered too."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        wanted = kind or ctx.params.get("kind")
        files, no_plugins = ctx.params.get("files") or (), bool(ctx.params.get("no_plugins"))
        try:
            catalog = discover(plugins=chosen_plugins(files, no_plugins=no_plugins))
        except DataflexError:
            return []  # the command itself will say what is wrong
        ambiguous = catalog.ambiguous()
        found = {
            record.id if record in ambiguous else record.spec.name: record.spec.summary
            for record in catalog.of_kind(Kind(wanted) if wanted else None)
        }
        names = {**found, **dict.fromkeys(others)}
        return [CompletionItem(name, help=summary) for name, summary in names.items() if name.startswith(incomplete)]

    return complete


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A completion of paths, for words that may be something else too."""
    return [CompletionItem(incomplete, type="file")]


def strategies_or_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """A completion of strategies by name, and of paths."""
    return [*strategy_names()(ctx, param, incomplete), *files(ctx, param, incomplete)]


def strategy_options(command: Command) -> Command:
    """``--selector``, ``--mixer``, ``--weighter`` and ``--set``.

    The command is given the names by kind as ``flags``, of the kinds that are asked for, and the values of ``--set`` as
    ``parameter_words``.
    """
    asked = {
        Kind.SELECTOR: "Which samples: the selector to use, or none.",
        Kind.MIXER: "In what proportion of domains: the mixer to use, or none.",
        Kind.WEIGHTER: "With what weight in the loss: the weighter to use, or none. Repeatable: weights multiply.",
    }

    @click.option(
        "--set", "parameter_words", multiple=True, metavar="KIND.PARAM=VALUE", help="A parameter. Repeatable."
    )
    @wraps(command)
    def given(*args: Any, selector: Names, mixer: Names, weighter: Names, **others: Any) -> Any:
        flags = {Kind.SELECTOR: selector, Kind.MIXER: mixer, Kind.WEIGHTER: weighter}
        return command(*args, flags={kind: names for kind, names in flags.items() if names}, **others)

    made: Command = given
    for kind, text in reversed(asked.items()):
        complete = strategy_names(kind, NONE)
        made = click.option(f"--{kind}", multiple=True, metavar="NAME", help=text, shell_complete=complete)(made)
    return made
