"""``dataflex migrate``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dataflex_cli.overwriting import check_new, new_file
from dataflex_core.catalog import discover
from dataflex_core.config.files import literal
from dataflex_core.config.load import load_config, merged_config
from dataflex_core.config.params import examine
from dataflex_core.config.section import SECTION, RunConfig
from dataflex_core.errors import DataflexError, InvalidConfig


@click.command("migrate")
@click.argument("old", type=click.Path(path_type=Path), metavar="OLD.yaml")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, not to stdout.")
def migrate(old: Path, output: Path | None) -> None:
    """Print OLD.yaml, a configuration of DataFlex 1.x, in its new form.

    Keys keep their order, and what they mean now is said on stderr; comments are lost.
    """
    if output is not None:
        check_new(output)
    config = load_config(old, notice=_say)
    new = merged_config(old)
    if not new.was_old:
        _say(f"{old} holds no key of DataFlex 1.x")
    _say_what_does_not_fit(config)
    text = _yaml({**new.args, SECTION: new.section} if new.section else new.args)
    if output is None:
        click.echo(text, nl=False)
    else:
        _write(output, text)
        _say(f"written to {output}, without the comments of {old}")


def _say(line: str) -> None:
    click.echo(line, err=True)


def _say_what_does_not_fit(config: RunConfig) -> None:
    """Strategies that nobody offers, and parameters that they refuse."""
    catalog = discover()
    for kind in config.dataflex.active:
        for choice in config.dataflex.choices(kind):
            try:
                params = catalog.resolve(kind, choice.name).load_params()
                _, wrong = examine(params, choice.params, owner=f"{kind} {choice.name}")
            except DataflexError as error:
                _say(str(error))
                continue
            for _, text in wrong:
                _say(f"{kind} {choice.name} refuses its parameters: {text}")


def _yaml(config: Mapping[str, Any]) -> str:
    """``config``, whose references are resolved, as YAML in which reading finds none."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(literal(config)))


def _write(output: Path, text: str) -> None:
    """Whole or not at all. Raises `InvalidConfig` where it cannot be, or somebody else has just done so."""
    try:
        with new_file(output) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidConfig(f"{output} cannot be written: {error.strerror}", hint="name another --output") from error
