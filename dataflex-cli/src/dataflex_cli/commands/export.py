"""``dataflex export``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dataflex_cli.console import counted
from dataflex_cli.options import Once
from dataflex_cli.overwriting import check_new, new_file
from dataflex_cli.picks import (
    Amount,
    amount,
    best_of,
    best_of_run,
    chosen_by,
    found_files,
    open_source,
    rows_by_file,
    rows_of_run,
)
from dataflex_core.errors import DataError, InvalidConfig, RunFailed
from dataflex_core.journal import Run
from dataflex_core.places import barrier
from dataflex_core.score_file import SCORE, ScoreFile
from dataflex_core.wording import first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SUFFIXES = (".jsonl", ".json")
"""By which LLaMA-Factory knows that a file is of JSON Lines."""

Files = Sequence[tuple[Path, list[int]]]
"""Files with the numbers of the rows that are wanted of them."""


@click.command("export", cls=Once)
@click.argument("source", type=click.Path(path_type=Path), metavar="RUN|SCORES")
@click.option("-o", "--output", "out", type=click.Path(path_type=Path), required=True, metavar="FILE.jsonl")
@click.option("--top", "asked", callback=amount, metavar="AMOUNT", help="Those with the highest scores: 5%, or 100.")
@click.option("--by", default=SCORE, metavar="COLUMN", help="The column of the scores to go by. Default: score.")
@click.option("--chosen", is_flag=True, help="Of a run, and its default: all that it chose and trained on.")
def export(source: Path, out: Path, asked: Amount | None, by: str, chosen: bool) -> None:
    """Write the rows of the best samples as JSON Lines, and print their entry for dataset_info.json.

    The first argument is the output folder of a run, or a file that `dataflex score` has written. Rows stand as they do
    in their own files, each once. Of several data sets each is written to a file of its own, FILE-NAME.jsonl.
    """
    from dataflex_core.llamafactory.datasets.taken import entry_for

    if chosen and asked is not None:
        raise InvalidConfig("--chosen and --top exclude each other", hint="leave one out")
    if out.suffix not in _SUFFIXES:
        raise InvalidConfig(
            f"-o {out} is to hold JSON Lines, and LLaMA-Factory would not read it so by its name",
            hint=f"end it in {' or '.join(_SUFFIXES)}, as in chosen.jsonl",
        )
    if (wrong := barrier(str(out), folder=False)) is not None:
        raise InvalidConfig(f"-o {out} {wrong}", hint="name a file that can be written, as chosen.jsonl")
    if not source.exists():
        raise DataError(f"{source} does not exist", hint="name a run's output folder, or a file of scores")
    opened = open_source(source)
    file, ids = _asked(opened, source, asked, by, chosen)
    folder = Path(file.about.dataset_dir if file.about is not None else ".")
    wanted = {name: found_files(folder, files) for name, files in rows_by_file(file, ids).items()}
    targets = _targets(out, list(wanted))
    for target in targets.values():
        check_new(target)
    for name, count in _write(wanted, targets).items():
        click.echo(f"{targets[name]}: {counted(count, 'row')} of {name}", err=True)
    click.echo("for dataset_info.json, in the folder of the files:", err=True)
    entries = {target.stem: entry_for(folder, name, target.name) for name, target in targets.items()}
    click.echo(json.dumps(entries, indent=2, ensure_ascii=False))


def _targets(out: Path, names: list[str]) -> dict[str, Path]:
    """The file of each data set, of the one ``out`` itself."""
    if len(names) == 1:
        return {names[0]: out}
    return {name: out.with_name(f"{out.stem}-{_in_a_file_name(name)}{out.suffix}") for name in names}


def _in_a_file_name(name: str) -> str:
    for character in "%/\\":  # the first is what the others become
        name = name.replace(character, f"%{ord(character):02X}")
    return name


def _asked(
    opened: Run | ScoreFile, source: Path, asked: Amount | None, by: str, chosen: bool
) -> tuple[ScoreFile, NDArray[np.int64]]:
    """Where rows are to be found, and the samples whose rows are meant."""
    if isinstance(opened, ScoreFile):
        if asked is None:
            told = "nothing was chosen by scores" if chosen else "how many of the best are meant is not said"
            raise InvalidConfig(f"{source}: {told}", hint="add --top 5%, or --top 100")
        return opened, best_of(opened, asked, by)
    if by != SCORE:
        raise InvalidConfig("--by is for a file of scores", hint="leave it out")
    rows = rows_of_run(opened)
    if opened.changed_data_at is not None:
        click.echo(f"of the steps after {opened.changed_data_at}, since when it trains on other data", err=True)
    return rows, chosen_by(opened) if asked is None else best_of_run(opened, asked)


def _write(wanted: Mapping[str, Files], targets: Mapping[str, Path]) -> dict[str, int]:
    """Write the rows of each data set to its file, all of them or none; how many they are."""
    from dataflex_core.llamafactory.datasets.taken import taken_rows, write_lines

    counts = {}
    with ExitStack() as written:
        for name, files in wanted.items():
            temporary = written.enter_context(_new(targets[name]))
            counts[name] = write_lines(temporary, (row for path, numbers in files for row in taken_rows(path, numbers)))
    return counts


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with new_file(target) as temporary:
            yield temporary
    except OSError as error:
        said = f"{target} could not be written: {error.strerror or first_line(error)}"
        raise RunFailed(said, hint="make room, or name another folder") from error
