"""``dataflex list-strategies``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from dataflex_cli.options import plugin_options
from dataflex_core.catalog import Catalog, Plugins, discover
from dataflex_core.spec import Kind, StrategySpec, with_implied

SCHEMA = 1


@click.command("list-strategies")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only strategies of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def list_strategies(kind: str | None, as_json: bool, plugins: Plugins) -> None:
    """List the installed strategies: what each does and needs, and which distribution provides it."""
    catalog = discover(plugins=plugins)
    wanted = Kind(kind) if kind else None
    if as_json:
        click.echo(json.dumps(_document(catalog, wanted), indent=2))
    else:
        _print(catalog, wanted)


def _document(catalog: Catalog, kind: Kind | None) -> dict[str, object]:
    ambiguous = catalog.ambiguous()
    strategies = [
        {
            "kind": record.spec.kind.value,
            "name": record.spec.name,
            "id": record.id,
            "summary": record.spec.summary,
            "needs": _needs(record.spec),
            "reference": record.spec.reference,
            "distribution": record.distribution,
            "version": record.version,
            "ambiguous": record in ambiguous,
        }
        for record in catalog.of_kind(kind)
    ]
    return {"schema": SCHEMA, "strategies": strategies, "faults": [asdict(fault) for fault in catalog.faults]}


def _print(catalog: Catalog, kind: Kind | None) -> None:
    from rich.table import Table

    from dataflex_cli.tables import print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "what it does", "needs", "provided by"):
        table.add_column(column, no_wrap=column in ("kind", "name"))
    ambiguous = catalog.ambiguous()
    for record in catalog.of_kind(kind):
        name = record.id if record in ambiguous else record.spec.name
        needs = ", ".join(_needs(record.spec))
        if record.spec.needs_for is not None:
            needs = f"{needs}, more by its parameters" if needs else "by its parameters"
        provider = f"{record.distribution} {record.version}"
        table.add_row(record.spec.kind.value, name, record.spec.summary, needs or "nothing", provider)
    print_table(table, width=140)
    for fault in catalog.faults:
        click.secho(f"fault: {fault}", fg="yellow", err=True)


def _needs(spec: StrategySpec) -> list[str]:
    """Those declared, and what follows from them and from the kind; no strategy is imported to see what it observes."""
    return sorted(need.value for need in with_implied(spec.kind, spec.needs))
