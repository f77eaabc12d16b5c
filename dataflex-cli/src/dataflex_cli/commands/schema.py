"""``dataflex schema``."""

from __future__ import annotations

import json

import click

from dataflex_cli.options import plugin_options
from dataflex_core.catalog import Plugins, discover

SCHEMA = 1


@click.command("schema")
@click.option("--section", is_flag=True, help="Of the `dataflex:` section alone.")
@plugin_options
def schema(section: bool, plugins: Plugins) -> None:
    """Print the JSON Schema of a configuration, with all installed strategies, for editors to complete it.

    \b
    dataflex schema > dataflex.schema.json
    and as the first line of a YAML:
    # yaml-language-server: $schema=dataflex.schema.json
    """
    from dataflex_core.config.schema import DIALECT, document_schema, section_schema

    catalog = discover(plugins=plugins)
    made = section_schema(catalog) if section else document_schema(catalog)
    click.echo(json.dumps({"$schema": DIALECT, "$comment": f"dataflex schema {SCHEMA}", **made}, indent=2))
    for fault in catalog.faults:
        click.secho(f"fault: {fault}", fg="yellow", err=True)
