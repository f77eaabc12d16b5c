"""``dataflex new``."""

from __future__ import annotations

import os
import shlex
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

import dataflex_core
from dataflex_cli.folders import new_folder
from dataflex_cli.overwriting import new_file
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
    help="What it starts from. A selector: scoring (the default) of samples one by one, plain, which chooses among all "
    "of them, reference, beside a second model, or diversity, by embeddings; a mixer: bandit, which learns as it goes.",
)
@click.option("--single-file", is_flag=True, help="Write one file for --plugin, not a distribution.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to write it: a new or an empty folder, ./dataflex-NAME by default, or a new file, ./NAME.py.",
)
def new(name: str, kind: str, template: str | None, single_file: bool, output: Path | None) -> None:
    """Write a plugin with a strategy called NAME, ready to install, test and train with: yours to change."""
    plugin = Plugin(name=name, sketch=sketch_of(Kind(kind), Template(template) if template else None))
    _check_free(plugin, installs=not single_file)
    if single_file:
        _write_file(plugin, output or Path(f"{name.replace('-', '_')}.py"))
        return
    folder = output or Path(plugin.distribution)
    with new_folder(folder) as scratch:
        plugin.write(scratch)
    # pip takes a bare word for a name on its index.
    where = os.path.join(os.curdir, folder)
    click.echo(f"Wrote {folder}: the strategy is in src/{plugin.package}/strategy.py")
    click.echo(f"Install it:  pip install --editable {shlex.quote(f'{where}[test]')}")
    click.echo(f"Test it:     pytest {shlex.quote(where)}")
    click.echo(f"Train:       dataflex run --{kind} {name} --set {kind}.{plugin.sketch.setting}")


def _write_file(plugin: Plugin, file: Path) -> None:
    """Raises `UsageError` where the file cannot be written, or not be imported by its name."""
    _check_module(file)
    try:
        with new_file(file) as temporary:
            temporary.write_text(plugin.single_file(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error}", hint="name another with --output") from None
    kind, where = plugin.sketch.kind, shlex.quote(os.path.join(os.curdir, file))
    click.echo(f"Wrote {file}")
    click.echo(f"Check it:    dataflex check {where}")
    click.echo(
        f"Train:       dataflex run --plugin {where} --{kind} {plugin.name} --set {kind}.{plugin.sketch.setting}"
    )


def _check_free(plugin: Plugin, *, installs: bool) -> None:
    """Raises `UsageError` where something that is installed has one of the plugin's names already."""
    spec = plugin.spec
    for record in discover().named(spec.name):
        if record.spec.kind is spec.kind:
            raise UsageError(f"{record.distribution} has a {spec.kind} {spec.name!r}", hint="choose another name")
    if installs and (installed := _version(plugin.distribution)) is not None:
        raise UsageError(f"{plugin.distribution} {installed} is installed already", hint="choose another name")
    if plugin.strategy_class in dataflex_core.__all__:
        raise UsageError(
            f"{spec.name!r} would be class {plugin.strategy_class}, as one of dataflex_core", hint="choose another name"
        )


def _check_module(file: Path) -> None:
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise UsageError(f"{file.name} is no Python module", hint="name it like mine.py")
    if _is_module(file.stem):
        raise UsageError(f"{file.name} has the name of another module", hint="name another with --output")


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # it is imported, and nobody says from where: __main__
        return True


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
