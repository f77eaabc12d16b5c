"""``dataflex proportions``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from dataflex_cli.options import Once
from dataflex_cli.report.pasted import name_of, section_of
from dataflex_core.journal import mixed, open_run

SCHEMA = 1


@click.command("proportions", cls=Once)
@click.argument("folder", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--last", is_flag=True, help="Those of the last steps, not the mean over all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with both.")
def proportions(folder: Path, last: bool, as_json: bool) -> None:
    """Print the proportions that the mixer of a run came to, as a section for a run that keeps to them.

    RUN is the output folder of a run with any mixer, which may be still going. Where the mixer weighs the loss, as
    doremi does, a domain's part is what it was sampled times its weight. The warm-up does not count.
    """
    run = open_run(folder)
    found = mixed(run)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, **asdict(found)}, indent=2, ensure_ascii=False))
    else:
        shown, other = (found.last, found.mean) if last else (found.mean, found.last)
        what = ("the last steps", "mean") if last else (f"mean of {found.steps} steps", "last")
        click.echo(f"# mixer {found.mixer}, {what[0]}; {what[1]}: {_in_a_line(other)}")
        click.echo(section_of(shown, found.unit), nl=False)
    if run.changed_data_at is not None:
        click.echo(f"of the steps after {run.changed_data_at}, since when it trains on other data", err=True)
    if found.doubt is not None:
        click.echo(found.doubt, err=True)


def _in_a_line(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name_of(name)} {share:.4g}" for name, share in shares.items())
