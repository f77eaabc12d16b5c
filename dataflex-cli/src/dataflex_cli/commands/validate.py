"""``dataflex validate``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from dataflex_cli.options import Once, files, plugin_options, strategy_options
from dataflex_cli.request import Request
from dataflex_cli.speaking import answering
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.load import examine_config
from dataflex_core.config.positions import position_of, positions, syntax_position
from dataflex_core.errors import DataError, DataflexError, InvalidConfig, ManyFaults, UsageError
from dataflex_core.journal import Start
from dataflex_core.llamafactory.datasets.index import KEYS, Named
from dataflex_core.llamafactory.datasets.look import Findings
from dataflex_core.llamafactory.unheard import remarks
from dataflex_core.prepare import check_schedule, examine_data, examine_run
from dataflex_core.prepared import PreparedRun
from dataflex_core.spec import Kind

SCHEMA = 1
_WHAT, _TRACEBACK = "the data could not be loaded", "dataflex run CONFIG --dry-run --debug shows the traceback"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A fault, and where it stands: a line and column of the file, from one, where it stands there."""

    message: str
    hint: str | None
    key: str
    file: str
    line: int | None
    column: int | None

    @property
    def text(self) -> str:
        """One line, which editors take for a link."""
        return f"{self._place}: {self._told}"

    @property
    def as_notice(self) -> str:
        """The same for what ends no run."""
        return f"{self._place}: note: {self._told}"

    @property
    def _place(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def _told(self) -> str:
        return self.message + (f" ({self.hint})" if self.hint else "")


@click.command("validate", cls=Once)
@click.argument("words", nargs=-1, required=True, metavar="CONFIG [KEY=VALUE]...", shell_complete=files)
@strategy_options
@click.option("--nproc", type=click.IntRange(min=1), help="Processes on this machine. Default: one per device.")
@click.option("--quick", is_flag=True, help="Neither import LLaMA-Factory nor read the data: takes no second.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def validate(
    words: tuple[str, ...],
    flags: Mapping[Kind, tuple[str, ...]],
    parameter_words: tuple[str, ...],
    nproc: int | None,
    quick: bool,
    as_json: bool,
    plugins: Plugins,
) -> None:
    """Find every fault of CONFIG that can be found without loading a model, each with its line.

    The files of its data sets are looked into. Where nothing is wrong with the configuration, LLaMA-Factory is asked
    for its opinion and the data is loaded, as it is in `dataflex run --dry-run`; where a data set has a fault, each of
    the others is loaded by itself, so that all of them are told. A note tells what goes unheard, and of rows that
    LLaMA-Factory leaves out. The exit code is 2 where there is a fault, whatever notes there are.
    """
    request = Request.of(words, flags, parameter_words)
    if request.path is None:
        raise InvalidConfig("no configuration is named", hint="write CONFIG first, then KEY=VALUE")
    with answering():
        faults, passed_over = _faults(request, plugins, nproc, quick=quick)
    found = _findings(faults, request, request.path)
    notices = _findings(passed_over, request, request.path)
    if as_json:
        document = {"schema": SCHEMA, "file": str(request.path), "quick": quick, "valid": not found}
        lists = {"faults": list(map(asdict, found)), "notices": list(map(asdict, notices))}
        click.echo(json.dumps({**document, **lists}, indent=2))
    else:
        for finding in found:
            click.echo(finding.text)
        for finding in notices:
            click.echo(finding.as_notice)
        if not found:
            click.echo(f"{request.path}: no fault found")
    sys.exit(2 if found else 0)


Errors = Sequence[DataflexError]


def _faults(request: Request, plugins: Plugins, nproc: int | None, *, quick: bool) -> tuple[Errors, Errors]:
    """What ends the run, and what is passed over."""
    try:
        config, faults = examine_config(request.path, request.overrides)
    except ManyFaults as error:
        return error.faults, []
    except InvalidConfig as error:
        return [error], []
    catalog = discover(plugins=plugins)
    try:
        prepared, more = examine_run(config, catalog)
    except DataflexError as error:  # a strategy that does not load
        return [*faults, error], []
    data = Findings() if quick else examine_data(config)
    faults = (*faults, *more, *data.faults) or tuple(check_schedule(config))
    if faults:
        loadable = not quick and all(map(_is_of_data, faults))
        return (*faults, *(_loading_faults(prepared, nproc, data.sound) if loadable else ())), data.notices
    notices: list[DataflexError] = [*request.remarks(), *remarks(config), *prepared.remarks(), *data.notices]
    return [] if quick else list(_heavy_faults(prepared, nproc, data.sound, notices)), notices


def _is_of_data(fault: DataflexError) -> bool:
    """Whether it is about the rows of a data set, and says nothing of the configuration beyond."""
    return isinstance(fault, DataError) and fault.key[:1] in [(key,) for key in KEYS]


def _loading_faults(prepared: PreparedRun, nproc: int | None, data_sets: Sequence[Named]) -> Iterator[DataflexError]:
    """What LLaMA-Factory stops over in data sets in which a look into their files found nothing."""
    if not data_sets:
        return
    from dataflex_cli.failures import errors_in_one_line
    from dataflex_cli.launch import processes
    from dataflex_core.llamafactory.one_by_one import data_faults

    try:
        with errors_in_one_line(debug=False, what=_WHAT, hint=_TRACEBACK):
            wanted = processes(nproc, prepared.config.args)
            yield from data_faults(prepared, data_sets, launched=wanted.launched)
    except DataflexError as error:
        yield error


def _heavy_faults(
    prepared: PreparedRun, nproc: int | None, data_sets: Sequence[Named], notices: list[DataflexError]
) -> Iterator[DataflexError]:
    """What the checkpoint to go on from, LLaMA-Factory and the data say: the first of it, as they stop there.

    Of data sets everything is told. ``notices`` grow by what is to be said of a run that is possible.
    """
    from dataflex_cli.failures import errors_in_one_line
    from dataflex_cli.header import nothing_to_choose
    from dataflex_cli.launch import processes
    from dataflex_core.llamafactory.resume import resolved
    from dataflex_core.llamafactory.run import dry_run

    try:
        with errors_in_one_line(debug=False, what=_WHAT, hint=_TRACEBACK):
            prepared = replace(prepared, config=resolved(prepared.config, lambda line: None))
            wanted = processes(nproc, prepared.config.args)
            start = dry_run(prepared, ranks=wanted.world, launched=wanted.launched)
        if (idle := nothing_to_choose(start)) is not None:
            notices.append(idle)
        notices.extend(_of_rows(start, notices))
    except DataflexError as error:
        of_data = list(_loading_faults(prepared, nproc, data_sets)) if _is_of_data(error) else []
        if isinstance(error, UsageError) and not error.key:
            error.key = _named(error.message, prepared.config.args)
        yield from of_data or [error]


def _of_rows(start: Start, told: Errors) -> Iterator[DataflexError]:
    """What becomes of the rows, but for those left out where the look into the files has told of such already."""
    from dataflex_core.llamafactory.rows_told import of_pool, of_targets, repeated

    known = {getattr(notice, "key", ())[:1] for notice in told if isinstance(notice, DataError)}
    for remark in (*of_pool(start), *of_targets(start), *repeated(start)):
        if (remark.key,) not in known or "left out" not in remark.text:
            yield DataError(remark.text, hint=remark.hint, key=(remark.key,))


def _named(message: str, args: Mapping[str, Any]) -> tuple[str, ...]:
    """The one key that LLaMA-Factory speaks of, by its name or by what it is set to."""
    words = set(re.findall(r"\w+", message))
    found = [key for key in args if key in words]
    found = found or [key for key, value in args.items() if isinstance(value, str) and value in words]
    return (found[0],) if len(found) == 1 else ()


def _findings(errors: Errors, request: Request, path: Path) -> list[Finding]:
    """In the order of the configuration's lines, what has none at the end."""
    found = [_finding(error, request, path) for error in errors]
    return sorted(found, key=lambda finding: (finding.line is None, finding.line or 0, finding.column or 0))


def _finding(fault: DataflexError, request: Request, path: Path) -> Finding:
    key = tuple(str(part) if isinstance(part, str) else part for part in getattr(fault, "key", ()))
    known, given = positions(path), set(request.overrides.keys())
    if (*key[:2], 0) in known and len(key) > 2 and isinstance(key[2], str):  # the only one of a list
        key = (*key[:2], 0, *key[2:])
    of_flag = (*key[:2], "name") in given and key not in known  # what a strategy named by a flag lacks
    by_flag = of_flag or any(key[:n] in given for n in range(1, len(key) + 1))
    place = None if by_flag else position_of(key, known) or syntax_position(fault)
    return Finding(
        message=fault.message,
        hint=fault.hint,
        key=".".join(map(str, key)),
        file="command line" if by_flag else str(path),
        line=place[0] if place else None,
        column=place[1] if place else None,
    )
