"""``dataflex check``."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dataflex_cli.options import plugin_options, strategies_or_files
from dataflex_core.catalog import Catalog, Plugins, Record, discover
from dataflex_core.errors import InvalidConfig, InvalidParameters, UnknownStrategy, UsageError
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

if TYPE_CHECKING:
    from dataflex_core.testing import Outcome

SCHEMA = 1


@click.command("check")
@click.argument("target", metavar="FILE|NAME", shell_complete=strategies_or_files)
@click.option("--name", help="Only the strategy of that name, where a file has several.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="Only strategies of this kind.")
@click.option("--set", "settings", multiple=True, metavar="[KIND.]PARAM=VALUE", help="A parameter. Repeatable.")
@click.option("--only", multiple=True, metavar="CHECK", help="Only this check. Repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@plugin_options
def check(
    target: str,
    name: str | None,
    kind: str | None,
    settings: tuple[str, ...],
    only: tuple[str, ...],
    as_json: bool,
    plugins: Plugins,
) -> None:
    """Hold the strategies of a plugin FILE, or the installed strategy NAME, to the contract of their kind.

    In seconds, on a CPU and without a model: the checks are those of dataflex_core.testing. The exit code is 1 where
    one fails.
    """
    records = _records(target, name, Kind(kind) if kind else None, plugins)
    well, told = True, []
    for record, given in zip(records, _values(records, settings), strict=True):
        outcomes = _outcomes(record, given, _fitting(only, records, record))
        well = well and all(done.failure is None for done in outcomes)
        if as_json:
            told.append(_document(record, outcomes))
        elif outcomes:
            _print(record, outcomes)
    if as_json:
        click.echo(json.dumps({"schema": SCHEMA, "ok": well, "strategies": told}, indent=2))
    sys.exit(0 if well else 1)


def _records(target: str, name: str | None, kind: Kind | None, plugins: Plugins) -> Sequence[Record]:
    """The strategies that are meant. Raises `UsageError` where there are none."""
    if _is_file(target):
        path = Path(target).absolute()
        catalog = discover(plugins=replace(plugins, files=(*plugins.files, path)))
        catalog = Catalog(records=tuple(r for r in catalog.records if r.distribution == path.name))
        found = catalog.named(name) if name else catalog.of_kind()
    else:
        catalog = discover(plugins=plugins)
        found = catalog.named(target)
        if name is not None:
            raise UsageError("--name is for a file", hint=f"dataflex check {name}")
    chosen = [record for record in found if kind is None or record.spec.kind is kind]
    if not chosen and _is_file(target) and name is None:
        raise UnknownStrategy(f"{target} offers no {kind or 'strategy'}", hint="yield a StrategySpec from its hook")
    if not chosen:
        raise catalog.unknown(name or target, kind)
    return chosen


def _is_file(target: str) -> bool:
    return target.endswith(".py") or Path(target).is_file()


def _fitting(only: Sequence[str], records: Sequence[Record], record: Record) -> list[str] | None:
    """Which of the checks ``only`` apply to a strategy; None: all. Raises `UsageError` for one that applies to none."""
    from dataflex_core.testing import all_checks

    known = {name for one in records for name in all_checks(one.spec.kind)}
    for name in only:
        if name not in known:
            raise UsageError(f"there is no check {name!r}", hint=did_you_mean(name, known))
    return [name for name in only if name in all_checks(record.spec.kind)] if only else None


def _outcomes(record: Record, given: Mapping[str, Any], only: list[str] | None) -> list[Outcome]:
    from dataflex_core.testing import run_checks

    if only == []:
        return []
    in_file = record.distribution.endswith(".py")
    with redirect_stdout(sys.stderr):  # what a strategy prints may not spoil the JSON
        return list(run_checks(record.spec, params=given, only=only or (), single_file=in_file))


def _values(records: Sequence[Record], settings: Sequence[str]) -> list[dict[str, Any]]:
    """Values for each strategy's parameters. Raises `UsageError` for a setting that fits none, or is refused."""
    given: list[dict[str, Any]] = [{} for _ in records]
    for setting in settings:
        match = re.fullmatch(r"(?:(\w+)\.)?(\w+)=(.*)", setting, flags=re.DOTALL)
        if match is None or match[1] not in (None, *Kind):
            raise InvalidConfig(f"--set {setting} is not understood", hint="write PARAM=VALUE or KIND.PARAM=VALUE")
        takers = [i for i, record in enumerate(records) if match[1] in (None, record.spec.kind.value)]
        takers = [i for i in takers if match[2] in _parameters(records[i])]
        if not takers:
            known = {name for record in records for name in _parameters(record)}
            raise InvalidParameters(f"no parameter {match[2]!r}", hint=did_you_mean(match[2], known))
        for i in takers:
            given[i] |= _parsed(records[i], match[2], match[3])
    return given


def _parameters(record: Record) -> list[str]:
    from dataflex_core.config.params import describe

    return [parameter.name for parameter in describe(record.load_params())]


def _parsed(record: Record, name: str, text: str) -> dict[str, Any]:
    from dataflex_core.config.files import merge, parse
    from dataflex_core.config.params import examine

    value = merge({}, [parse(f"{name}={text}")])
    owner = f"{record.spec.kind} {record.spec.name}"
    _, faults = examine(record.load_params(), value, owner=owner)
    if wrong := [said for key, said in faults if key == name]:
        raise InvalidParameters(f"{owner}: {wrong[0]}", hint=f"see: dataflex describe {record.spec.name}")
    return value


def _document(record: Record, outcomes: Sequence[Outcome]) -> dict[str, object]:
    return {
        "kind": record.spec.kind.value,
        "name": record.spec.name,
        "id": record.id,
        "version": record.version,
        "checks": [
            {"check": done.check, "promise": done.promise, "ok": done.failure is None, "reason": done.failure}
            for done in outcomes
        ],
    }


def _print(record: Record, outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table
    from rich.text import Text

    from dataflex_cli.tables import print_table

    failed = sum(done.failure is not None for done in outcomes)
    click.secho(f"{record.spec.kind} {record.spec.name}", bold=True, nl=False)
    checks = f"{len(outcomes)} check{'s' if len(outcomes) > 1 else ''}"
    said = f"fails {failed} of {checks}" if failed else f"{checks} passed"
    click.echo(f"  ({record.distribution} {record.version})  {said}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for done in outcomes:
        mark = Text("✓", style="green") if done.failure is None else Text("✗", style="red")
        table.add_row(mark, done.check, Text(done.failure or ""))
    print_table(table, width=140)
