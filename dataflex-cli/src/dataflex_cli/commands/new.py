"""``dataflex new``."""

from __future__ import annotations

import os
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

import dataflex_core
from dataflex_cli.folders import new_folder
from dataflex_cli.scaffold import Plugin, Template, sketch_of
from dataflex_core.catalog import discover
from dataflex_core.errors import UsageError
from dataflex_core.spec import Kind


@click.command("new")
@click.argument("name")
@click.option("--kind", required=True, type=click.Choice([kind.value for kind in Kind]), help="What it decides.")
@click.option(
    "--template",
    type=click.Choice([template.value for template in Template]),
    help="How a selector is written: it scores samples one by one (the default), or chooses among all of them.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to write it: a new or an empty folder. Default: ./dataflex-NAME.",
)
def new(name: str, kind: str, template: str | None, output: Path | None) -> None:
    """Write a plugin with a strategy called NAME, ready to install, test and train with: yours to change."""
    plugin = Plugin(name=name, sketch=sketch_of(Kind(kind), Template(template) if template else None))
    _check_free(plugin)
    folder = output or Path(plugin.distribution)
    with new_folder(folder) as scratch:
        plugin.write(scratch)
    # pip takes a bare word for a name on its index.
    where = os.path.join(os.curdir, folder)
    click.echo(f"Wrote {folder}: the strategy is in src/{plugin.package}/strategy.py")
    click.echo(f"Install it:  pip install --editable {shlex.quote(f'{where}[test]')}")
    click.echo(f"Test it:     pytest {shlex.quote(where)}")
    click.echo(f"Train:       dataflex run --{kind} {name} --set {kind}.{plugin.sketch.setting}")


def _check_free(plugin: Plugin) -> None:
    """Raises `UsageError` where something that is installed has one of the plugin's names already."""
    spec = plugin.spec
    for record in discover().named(spec.name):
        if record.spec.kind is spec.kind:
            raise UsageError(f"{record.distribution} has a {spec.kind} {spec.name!r}", hint="choose another name")
    try:
        taken = f"{plugin.distribution} {version(plugin.distribution)} is installed already"
    except PackageNotFoundError:
        pass
    else:
        raise UsageError(taken, hint="choose another name")
    if plugin.strategy_class in dataflex_core.__all__:
        raise UsageError(
            f"{spec.name!r} would be class {plugin.strategy_class}, as one of dataflex_core", hint="choose another name"
        )
