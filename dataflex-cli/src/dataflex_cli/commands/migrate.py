"""``dataflex migrate``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dataflex_core.catalog import discover
from dataflex_core.config.files import literal
from dataflex_core.config.load import load_config, merged_config
from dataflex_core.config.section import SECTION, RunConfig
from dataflex_core.errors import InvalidConfig, UsageError


@click.command("migrate")
@click.argument("old", type=click.Path(path_type=Path), metavar="OLD.yaml")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, not to stdout.")
def migrate(old: Path, output: Path | None) -> None:
    """Print OLD.yaml, a configuration of DataFlex 1.x, in its new form.

    Keys keep their order, and what they mean now is said on stderr; comments are lost.
    """
    if output is not None and output.exists():
        raise InvalidConfig(f"{output} exists", hint="name a file that does not exist yet")
    config = load_config(old, notice=_say)
    new = merged_config(old)
    if not new.was_old:
        _say(f"{old} holds no key of DataFlex 1.x")
    _say_what_is_missing(config)
    text = _yaml({**new.args, SECTION: new.section} if new.section else new.args)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)
        _say(f"written to {output}, without the comments of {old}")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _say_what_is_missing(config: RunConfig) -> None:
    catalog = discover()
    for kind in config.dataflex.active:
        for choice in config.dataflex.choices(kind):
            try:
                catalog.resolve(kind, choice.name)
            except UsageError as error:
                _say(str(error))


def _yaml(config: Mapping[str, Any]) -> str:
    """``config``, whose references are resolved, as YAML in which reading finds none."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(literal(config)))


def _write(output: Path, text: str) -> None:
    temporary = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.rename(output)
    except OSError as error:
        raise InvalidConfig(f"{output} cannot be written: {error.strerror}", hint="name another --output") from error
