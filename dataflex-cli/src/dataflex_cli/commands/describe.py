"""``dataflex describe``."""

from __future__ import annotations

import inspect
import json

import click

from dataflex_cli.options import plugin_options, strategy_names
from dataflex_core.catalog import Plugins, Record, discover
from dataflex_core.config.params import Parameter
from dataflex_core.config.params import describe as describe_params
from dataflex_core.config.plain import plain
from dataflex_core.contracts import Strategy
from dataflex_core.spec import Kind, with_implied

SCHEMA = 1


@click.command("describe")
@click.argument("name", shell_complete=strategy_names())
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Where a name has more than one kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def describe(name: str, kind: str | None, as_json: bool, plugins: Plugins) -> None:
    """Show what strategy NAME does: its parameters with types, defaults and limits, what it needs, its paper."""
    catalog = discover(plugins=plugins)
    found = [record for record in catalog.named(name) if kind is None or record.spec.kind.value == kind]
    if not found:
        raise catalog.unknown(name, Kind(kind) if kind else None)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "strategies": [_document(record) for record in found]}, indent=2))
        return
    for index, record in enumerate(found):
        if index:
            click.echo()
        _print(record)


def _document(record: Record) -> dict[str, object]:
    return {
        "kind": record.spec.kind.value,
        "name": record.spec.name,
        "id": record.id,
        "summary": record.spec.summary,
        "description": _doc(record),
        "needs": _needs(record),
        "reference": record.spec.reference,
        "distribution": record.distribution,
        "version": record.version,
        "parameters": [
            {
                "name": p.name,
                "type": p.type,
                "default": plain(p.default),
                "required": p.required,
                "constraints": list(p.constraints),
                "help": p.help,
            }
            for p in describe_params(record.load_params())
        ],
    }


def _print(record: Record) -> None:
    spec = record.spec
    click.secho(f"{spec.kind} {spec.name}", bold=True, nl=False)
    click.echo(f"  ({record.distribution} {record.version})")
    click.echo(f"{_doc(record) or spec.summary}\n")
    click.echo(f"needs: {', '.join(_needs(record)) or 'nothing'}")
    if spec.reference:
        click.echo(f"paper: {spec.reference}")
    parameters = describe_params(record.load_params())
    click.echo("parameters:" if parameters else "parameters: none")
    for p in parameters:
        click.echo(f"  {p.name}: {_type(p)}")
        click.echo(f"      {p.help}" if p.help else "", nl=bool(p.help))


def _needs(record: Record) -> list[str]:
    """Those with its default parameters, and what follows from them, from the kind and from overriding ``observe``."""
    observes = getattr(record.load(), "observe", Strategy.observe) is not Strategy.observe
    return sorted(need.value for need in with_implied(record.spec.kind, record.load_needs(), observes=observes))


def _type(p: Parameter) -> str:
    limits = "".join(f", {constraint}" for constraint in p.constraints)
    return f"{p.type}{limits}, required" if p.required else f"{p.type}{limits} = {p.default!r}"


def _doc(record: Record) -> str:
    return inspect.getdoc(record.load()) or ""
