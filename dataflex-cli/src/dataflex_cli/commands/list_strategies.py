"""``dataflex list-strategies``."""

from __future__ import annotations

import json

import click

from dataflex_core.catalog import Catalog, discover
from dataflex_core.spec import Kind

SCHEMA = 1


@click.command("list-strategies")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only strategies of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_strategies(kind: str | None, as_json: bool) -> None:
    """List the installed strategies: what each does and needs, and which distribution provides it."""
    catalog = discover()
    wanted = Kind(kind) if kind else None
    if as_json:
        click.echo(json.dumps(_document(catalog, wanted), indent=2))
    else:
        _print(catalog, wanted)


def _document(catalog: Catalog, kind: Kind | None) -> dict[str, object]:
    strategies = [
        {
            "kind": record.spec.kind.value,
            "name": record.spec.name,
            "id": record.id,
            "summary": record.spec.summary,
            "needs": sorted(need.value for need in record.spec.needs),
            "reference": record.spec.reference,
            "distribution": record.distribution,
            "version": record.version,
        }
        for record in catalog.of_kind(kind)
    ]
    faults = [
        {
            "entry_point": fault.entry_point,
            "distribution": fault.distribution,
            "version": fault.version,
            "stage": fault.stage,
            "error": fault.error,
        }
        for fault in catalog.faults
    ]
    return {"schema": SCHEMA, "strategies": strategies, "faults": faults}


def _print(catalog: Catalog, kind: Kind | None) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("kind", "name", "what it does", "needs", "provided by"):
        table.add_column(column, no_wrap=column in ("kind", "name"))
    for record in catalog.of_kind(kind):
        needs = ", ".join(sorted(need.value for need in record.spec.needs)) or "nothing"
        provider = f"{record.distribution} {record.version}"
        table.add_row(record.spec.kind.value, record.spec.name, record.spec.summary, needs, provider)
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    for fault in catalog.faults:
        text = f"{fault.distribution} {fault.version}: {fault.entry_point} failed at {fault.stage}: {fault.error}"
        click.secho(f"fault: {text}", fg="yellow", err=True)
