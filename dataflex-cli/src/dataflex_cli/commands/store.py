"""``dataflex store``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflex_core.errors import DataError, RunFailed
from dataflex_core.wording import first_line

if TYPE_CHECKING:
    from dataflex_core.scoring.store_listing import Contents

SCHEMA = 1
_SHOWN = 10  # foreign files that are named


@click.command("store")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--prune", "pruned", is_flag=True, help="Remove it all, but for what a run is writing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def store(folder: Path, pruned: bool, as_json: bool) -> None:
    """Show what a store of frozen models' answers holds: of which model, how many samples, how large.

    DIR is the folder that `dataflex.store` names, or the output folder of a run.
    """
    from dataflex_core.scoring.store_listing import contents_of, prune

    inside = folder / "dataflex" / "store"
    place = inside if inside.is_dir() else folder
    if not place.is_dir():
        raise DataError(f"there is no folder {folder}", hint="name a store, or the output folder of a run")
    try:
        contents = contents_of(place)
        freed = prune(contents) if pruned else None
    except OSError as error:
        raise RunFailed(f"{place}: {error.strerror or first_line(error)}", hint="check who may write there") from error
    if as_json:
        click.echo(json.dumps(_document(place, contents, freed), indent=2))
    else:
        _print(place, contents, freed)


def _shelves(contents: Contents) -> list[dict[str, Any]]:
    """A row for each question that was asked, in the order of their models' names."""
    rows: dict[str, dict[str, Any]] = {}
    for file in contents.files:
        row = rows.setdefault(
            file.shelf,
            {"shelf": file.shelf, **file.about, "samples": 0, "bytes": 0, "files": 0, "torn": 0, "used": 0},
        )
        for key, value in (("samples", file.samples), ("bytes", file.bytes), ("files", 1)):
            row[key] += value
        row["torn"] += file.torn
        row["used"] += file.used
    return sorted(rows.values(), key=lambda row: (str(row.get("model")), str(row.get("what")), row["shelf"]))


def _document(place: Path, contents: Contents, freed: int | None) -> dict[str, Any]:
    foreign = [{"path": str(path), "wrong": wrong} for path, wrong in contents.foreign]
    return {
        "schema": SCHEMA,
        "folder": str(place),
        "answers": _shelves(contents),
        "foreign": foreign,
        **({} if freed is None else {"freed": freed}),
    }


def _print(place: Path, contents: Contents, freed: int | None) -> None:
    from rich.table import Table

    from dataflex_cli.tables import print_table

    shelves = _shelves(contents)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("answers", "model", "samples", "size", "files"):
        table.add_column(column, justify="right" if column in ("samples", "size", "files") else "left")
    for row in shelves:
        notes = [f"{row[key]} {key}" for key in ("torn", "used") if row[key]]
        files = f"{row['files']} ({', '.join(notes)})" if notes else str(row["files"])
        table.add_row(_asked(row), str(row.get("model", "")), f"{row['samples']:,}", _size(row["bytes"]), files)
    if shelves:
        print_table(table, width=140)
    click.echo(f"{place}: {_size(sum(row['bytes'] for row in shelves))} of stored answers")
    for path, wrong in contents.foreign[:_SHOWN]:
        click.secho(f"left alone: {path} {wrong}", fg="yellow", err=True)
    if len(contents.foreign) > _SHOWN:
        click.secho(f"left alone: {len(contents.foreign) - _SHOWN} files more", fg="yellow", err=True)
    if freed is not None:
        click.echo(f"freed {_size(freed)}")
        if used := sum(row["used"] for row in shelves):
            click.echo(f"left {used} file{'s' * (used > 1)} that a run is writing")


def _asked(row: dict[str, Any]) -> str:
    """What was asked, with what that takes: ``embeddings, layer -1, pooling mean``."""
    more = [f"{key} {row[key]}" for key in ("layer", "pooling") if key in row]
    return ", ".join([str(row.get("what", "")), *more])


def _size(count: int) -> str:
    size, units = float(count), iter(("B", "KiB", "MiB", "GiB", "TiB"))
    unit = next(units)
    while size >= 1024 and unit != "TiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
