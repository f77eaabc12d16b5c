"""``dataflex plugins``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import asdict
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from dataflex_cli import installer
from dataflex_cli.options import plugin_options
from dataflex_core.catalog import Catalog, Plugins, discover
from dataflex_core.errors import InvalidPlugin, RunFailed
from dataflex_core.hooks import PROJECT
from dataflex_core.wording import did_you_mean

SCHEMA = 1

_names = click.argument("names", nargs=-1, required=True, metavar="NAME...")
_dry_run = click.option("--dry-run", is_flag=True, help="Print the command; run nothing.")


@click.group("plugins")
def plugins() -> None:
    """List, install and uninstall plugins: distributions that offer strategies, or rules for gradients of layers."""


@plugins.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def list_plugins(as_json: bool, plugins: Plugins) -> None:
    """List the plugins: versions, what each offers, what is wrong with it, and whether it is left out."""
    catalog = discover(plugins=plugins)
    rows = _rows(catalog, plugins)
    if as_json:
        faults = [asdict(fault) for fault in catalog.faults]
        click.echo(json.dumps({"schema": SCHEMA, "plugins": rows, "faults": faults}, indent=2))
    else:
        _print(rows, catalog)


@plugins.command("install")
@_names
@_dry_run
def install(names: tuple[str, ...], dry_run: bool) -> None:
    """Install plugins with this environment's pip or uv: names in an index, folders, wheels or URLs."""
    _check(names)
    if dry_run:
        _say_command("install", names)
        return
    before = _everything(_rows(discover(), Plugins.of(os.environ)))
    installer.call("install", names)
    after = _listed_now()
    new = [line for line in _everything(after["plugins"]) if line not in before]
    click.echo("\n".join(new) or "No strategy came with it.")
    for fault in after["faults"]:
        text = f"{fault['distribution']} {fault['version']}: {fault['entry_point']}: {fault['error']}"
        click.secho(f"fault: {text}", fg="yellow", err=True)


@plugins.command("uninstall")
@_names
@_dry_run
def uninstall(names: tuple[str, ...], dry_run: bool) -> None:
    """Uninstall plugins with this environment's pip or uv."""
    _check(names)
    from packaging.utils import canonicalize_name

    known = [canonicalize_name(point.dist.name) for point in entry_points(group=PROJECT) if point.dist is not None]
    for name in names:
        if canonicalize_name(name) not in known:
            raise InvalidPlugin(f"no plugin is called {name!r}", hint=did_you_mean(name, known))
    if dry_run:
        _say_command("uninstall", names)
    else:
        installer.call("uninstall", names)


def _check(names: tuple[str, ...]) -> None:
    for name in names:
        if not name.strip() or name.startswith("-"):
            raise InvalidPlugin(f"{name!r} is no name of a plugin", hint="name a distribution, a folder or a wheel")


def _say_command(verb: str, names: tuple[str, ...]) -> None:
    words = installer.command(verb, names)
    click.echo(shlex.join(words or ("uv", "pip", verb, "--python", sys.executable, *names)))


def _listed_now() -> Any:
    """What a process finds that starts after the installation. Raises `RunFailed` where it cannot."""
    words = [sys.executable, "-P", "-m", "dataflex_cli", "plugins", "list", "--json"]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError:
        wrong = "it is installed, and plugins cannot be listed any more"
        raise RunFailed(wrong, hint="dataflex doctor, or uninstall it with pip") from None


def _rows(catalog: Catalog, plugins: Plugins) -> list[dict[str, Any]]:
    return [
        *(_row(point, catalog, left_out=not plugins.admits(point)) for point in entry_points(group=PROJECT)),
        *({**_files_row(file.name, catalog), "entry_point": str(file)} for file in plugins.files),
    ]


def _offers(row: dict[str, Any]) -> list[str]:
    """What a plugin offers, for people."""
    rules = [f"gradients of {layer}" for layer in row["gradient_rules"]]
    return [*(f"{strategy['kind']} {strategy['name']}" for strategy in row["strategies"]), *rules]


def _everything(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{offer} ({row['distribution']} {row['version']})" for row in rows for offer in _offers(row)]


def _row(point: EntryPoint, catalog: Catalog, *, left_out: bool) -> dict[str, Any]:
    name, version = (point.dist.name, point.dist.version) if point.dist is not None else (point.module, "")
    text = f"{point.name} = {point.value}"
    bad = {(fault.distribution, fault.entry_point) for fault in catalog.faults if fault.withdrawn}
    state = "left out" if left_out else "fault" if (name, text) in bad else "ok"
    return {**_files_row(name, catalog), "version": version, "entry_point": text, "state": state}


def _files_row(distribution: str, catalog: Catalog) -> dict[str, Any]:
    offered = [record for record in catalog.of_kind() if record.distribution == distribution]
    rules = [record for record in catalog.rules if record.distribution == distribution]
    versions = [*(record.version for record in offered), *(record.version for record in rules)]
    return {
        "distribution": distribution,
        "version": next(iter(versions), ""),
        "entry_point": "",
        "state": "ok",
        "strategies": [{"kind": r.spec.kind.value, "name": r.spec.name} for r in offered],
        "gradient_rules": [record.rule.layer for record in rules],
    }


def _print(rows: list[dict[str, Any]], catalog: Catalog) -> None:
    from rich.table import Table

    from dataflex_cli.tables import print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("plugin", "version", "state", "offers"):
        table.add_column(column, no_wrap=column != "offers")
    for row in rows:
        table.add_row(row["distribution"], row["version"], row["state"], ", ".join(_offers(row)) or "none")
    print_table(table, width=140)
    for fault in catalog.faults:
        click.secho(f"fault: {fault}", fg="yellow", err=True)
