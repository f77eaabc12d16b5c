"""``dataflex report``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The page. Default: RUN/dataflex/report.html.")
@click.option("--open", "open_it", is_flag=True, help="Open it in a browser.")
@click.option(
    "--against",
    "others",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Say whether it paid, against this run at equal work. Repeatable.",
)
@click.option("--no-texts", is_flag=True, help="Leave out the samples' texts.")
def report(run: Path, output: Path | None, open_it: bool, others: tuple[Path, ...], no_texts: bool) -> None:
    """Write a page about a run: what it decided, what that cost, whether it paid.

    RUN is its output_dir, or a journal: of journal-1.jsonl, that of an earlier run in the folder, the page is
    report-1.html. It may be going on, or have been killed. The page needs no network; the same numbers are written as
    JSON beside it.
    """
    from dataflex_cli.pages.html import document_of
    from dataflex_cli.pages.writing import write_page
    from dataflex_cli.report.build import report_of
    from dataflex_cli.report.page import page_of
    from dataflex_cli.report.reading import names_of, read_run, refuse_twice

    seen = read_run(run, texts=not no_texts)
    page = output or seen.page
    beside = [read_run(path, texts=False) for path in others]
    refuse_twice((run, *others), (seen, *beside))
    data = report_of(seen, list(zip(names_of(others), beside, strict=True)))
    numbers = write_page(page, page_of(data), document_of(data))
    for text in data.words:
        click.echo(text)
    for alert in data.alerts:
        click.secho(f"{alert.level}: {alert.title}", fg="red" if alert.level == "problem" else "yellow")
    click.echo(f"Wrote {page} and {numbers.name}")
    if open_it:
        click.launch(str(page.resolve()))
