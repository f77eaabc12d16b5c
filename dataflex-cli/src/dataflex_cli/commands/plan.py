"""``dataflex plan``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from dataflex_cli.options import Once, files, plugin_options, strategy_options
from dataflex_cli.request import Request
from dataflex_cli.speaking import answering
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.load import load_config
from dataflex_core.errors import InvalidConfig, UnmetNeed, UsageError
from dataflex_core.prepare import prepare
from dataflex_core.prepared import SELECTOR, PreparedRun
from dataflex_core.spec import Kind

if TYPE_CHECKING:
    from dataflex_core.planning.budget import Budget

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A setting and what it costs, in training steps; all None where it is ``refused``, for a reason in words.

    ``judged`` samples a decision, of which ``scored`` are scored and the others predicted; ``share`` is that of all
    decisions in the training itself, ``break_even`` what a chosen sample must be worth in random ones.
    """

    setting: str
    judged: int | None = None
    scored: int | None = None
    decision_cost: float | None = None
    total_cost: float | None = None
    share: float | None = None
    break_even: float | None = None
    refused: str | None = None


@click.command("plan", cls=Once)
@click.argument("words", nargs=-1, required=True, metavar="CONFIG [KEY=VALUE]...", shell_complete=files)
@strategy_options
@click.option("--nproc", type=click.IntRange(min=1), help="Processes on this machine. Default: one per device.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@plugin_options
def plan(
    words: tuple[str, ...],
    flags: Mapping[Kind, tuple[str, ...]],
    parameter_words: tuple[str, ...],
    nproc: int | None,
    as_json: bool,
    debug: bool,
    plugins: Plugins,
) -> None:
    """Compare what the selector's decisions would cost with a few settings, before anything is trained.

    The data is loaded as in `dataflex run --dry-run`, and no model. Costs are estimates, in training steps, from what
    the selector declares that judging a sample takes.
    """
    request = Request.of(words, flags, parameter_words)
    if request.path is None:
        raise InvalidConfig("no configuration is named", hint="write CONFIG first, then KEY=VALUE")
    with answering():
        config = load_config(request.path, request.overrides)
        prepared = prepare(config, discover(plugins=plugins))
        if SELECTOR not in prepared.strategies:
            raise UnmetNeed("there is no selector whose decisions could cost anything", hint="add --selector NAME")
        own, rows = _compared(prepared, nproc, debug=debug)
    if as_json:
        click.echo(json.dumps(_document(own, rows), indent=2))
    else:
        _print(own, rows)


def _compared(prepared: PreparedRun, nproc: int | None, *, debug: bool) -> tuple[Budget, list[Row]]:
    from dataflex_cli.failures import errors_in_one_line
    from dataflex_cli.launch import processes
    from dataflex_core.llamafactory.costs import budgets_of
    from dataflex_core.planning.settings import settings_of

    settings = list(settings_of(prepared))
    deciding = [setting.prepared for setting in settings if setting.prepared is not None]
    with errors_in_one_line(debug=debug, what="the data could not be loaded"):
        wanted = processes(nproc, prepared.config.args)
        own, found = budgets_of(prepared, deciding, ranks=wanted.world, launched=wanted.launched)
    costs = iter(found)
    return own, [_row(setting.name, next(costs) if setting.prepared is not None else None) for setting in settings]


def _row(name: str, budget: Budget | UsageError | None) -> Row:
    """None is of samples at random."""
    from dataflex_core.journal.figures import break_even

    if budget is None:
        return Row(setting=name, judged=0, scored=0, decision_cost=0.0, total_cost=0.0, share=0.0, break_even=1.0)
    if isinstance(budget, UsageError):
        return Row(setting=name, refused=budget.message)
    total = budget.decision_cost * budget.schedule.decisions
    return Row(
        setting=name,
        judged=budget.judged,
        scored=budget.judged if budget.exact is None else budget.exact,
        decision_cost=round(budget.decision_cost, 3),
        total_cost=round(total, 3),
        share=round(total / budget.schedule.total_steps, 4),
        break_even=round(break_even(budget.decision_cost, budget.schedule.longest) or 1.0, 3),
    )


def _document(own: Budget, rows: Sequence[Row]) -> dict[str, object]:
    schedule = own.schedule
    return {
        "schema": SCHEMA,
        "steps": schedule.total_steps,
        "warmup_steps": schedule.warmup_steps,
        "decisions": schedule.decisions,
        "update_steps": schedule.update_steps,
        "global_batch": own.global_batch,
        "pool": own.pool,
        "estimated": True,
        "settings": [asdict(row) for row in rows],
    }


def _print(own: Budget, rows: Sequence[Row]) -> None:
    from rich.table import Table

    from dataflex_cli.console import counted
    from dataflex_cli.tables import print_table

    schedule = own.schedule
    chosen = schedule.longest * own.global_batch
    click.echo(
        f"{counted(schedule.total_steps, 'step')}, {counted(schedule.decisions, 'decision')}, each choosing {chosen} "
        f"of {own.pool} samples; costs are estimates, in training steps"
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("setting", no_wrap=True)
    for column in ("judged", "scored", "a decision", "all of them", "x training", "break-even"):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(row.setting, *_cells(row))
    print_table(table, width=100)
    for row in rows:
        if row.refused is not None:
            click.echo(f"{row.setting}: {row.refused}")
    first = rows[0]
    if first.total_cost:
        click.echo(
            f"Break-even: as configured a chosen sample must be worth {first.break_even:.1f} random ones. For the same "
            f"work random trains {schedule.total_steps + round(first.total_cost)} steps."
        )


def _cells(row: Row) -> list[str]:
    if row.refused is not None or row.judged is None:
        return ["refused", *[""] * 5]
    return [
        f"{row.judged:,}",
        f"{row.scored:,}",
        f"{row.decision_cost:.1f}",
        f"{row.total_cost:,.0f}",
        f"{row.share:.2f}",
        f"{row.break_even:.2f}",
    ]
