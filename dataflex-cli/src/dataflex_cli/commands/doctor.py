"""``dataflex doctor``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dataflex_cli.options import plugin_options
from dataflex_core.catalog import Plugins, discover

if TYPE_CHECKING:
    from dataflex_cli.doctor import Check

SCHEMA = 1
_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def doctor(as_json: bool, plugins: Plugins) -> None:
    """Check versions, GPUs, engines, stale locks and plugins, with a remedy where something is wrong.

    The exit code is 1 where a check finds a problem.
    """
    from dataflex_cli.doctor import checks

    found = list(checks(discover(plugins=plugins)))
    well = all(check.state != "problem" for check in found)
    if as_json:
        document = {"schema": SCHEMA, "ok": well, "checks": [asdict(check) for check in found]}
        click.echo(json.dumps(document, indent=2))
    else:
        _print(found)
    sys.exit(0 if well else 1)


def _print(found: Sequence[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from dataflex_cli.tables import print_table

    table = Table(box=None, pad_edge=False, show_header=False)
    for check in found:
        text = f"{check.detail}\n{check.remedy}" if check.remedy else check.detail
        table.add_row(Text(check.state, style=_COLOURS[check.state]), check.name, Text(text))
    print_table(table, width=140)
