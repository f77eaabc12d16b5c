"""``dataflex compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataflex_cli.options import Once
from dataflex_core.errors import UsageError

if TYPE_CHECKING:
    from dataflex_cli.compare.tables import Sheet


@click.command("compare", cls=Once)
@click.argument("runs", type=click.Path(path_type=Path), metavar="RUN RUN…", nargs=-1)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write a page, too, and its numbers beside it.")
@click.option("--open", "open_it", is_flag=True, help="Open the page in a browser.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(runs: tuple[Path, ...], output: Path | None, open_it: bool, as_json: bool) -> None:
    """Show runs side by side: losses at equal steps and at equal work, and what each chose.

    A RUN is its output_dir. It may be going on, or have been killed. Runs that differ in nothing but their seed are one
    group, with mean and spread. The page needs no network; the same numbers are written as JSON beside it.
    """
    if len(runs) < 2:
        raise UsageError("one run cannot be compared" if runs else "no run is named", hint="name two output_dirs")
    if open_it and output is None:
        raise UsageError("--open opens the page, and none is asked for", hint="name it: -o FILE.html")
    from dataflex_cli.compare.build import comparison_of
    from dataflex_cli.compare.page import page_of
    from dataflex_cli.compare.tables import tables_of
    from dataflex_cli.pages.html import document_of
    from dataflex_cli.pages.writing import write_page
    from dataflex_cli.report.reading import names_of, read_run, refuse_twice

    seen = [read_run(path, texts=False) for path in runs]
    refuse_twice(runs, seen)
    data = comparison_of(list(zip(names_of(runs), seen, strict=True)))
    if output is not None:
        numbers = write_page(output, page_of(data), document_of(data))
    if as_json:
        click.echo(document_of(data), nl=False)
    else:
        for text in (*data.words, *data.remarks):
            click.echo(text)
        for table in tables_of(data):
            _print(table)
    if output is not None:
        click.echo(f"Wrote {output} and {numbers.name}", err=as_json)
        if open_it:
            click.launch(str(output.resolve()))


def _print(sheet: Sheet) -> None:
    from rich.table import Table

    from dataflex_cli.tables import print_table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(sheet.columns):
        table.add_column(name, justify="left" if i < sheet.words else "right", overflow="fold")
    for row in sheet.rows:
        table.add_row(*row)
    click.echo()
    click.secho(sheet.title, bold=True)
    print_table(table)
