"""Texts of chosen samples as tables in trackers: where the configuration asks for it, and nowhere else."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers.integrations import MLflowCallback, TensorBoardCallback, WandbCallback

from dataflex_core.domains import domain_of
from dataflex_core.journal.shown import highest_of, random_of
from dataflex_core.journal.texts import Shown, Text
from dataflex_core.planning.plan import Plan
from dataflex_core.planning.schedule import Interval
from dataflex_core.rng import derive
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.wording import first_line

NAME = "dataflex/chosen"
COLUMNS = ("rank", "score", "sample", "domain", "file", "row", "prompt", "answer")
_CHARACTERS = 500
_MARKS = {ord(mark): f"&#{ord(mark)};" for mark in "\\`*_[]|~:"}
"""What Markdown reads as markup within a line, as HTML spells it; a colon makes a link of an address."""

Cell = str | int | float | None
Row = Mapping[str, Cell]


class TextTables:
    """Shows ``count`` of the samples of each decision, by ``text_of`` their ids, in the trackers of ``callbacks``.

    A tracker that fails is told to the user, once, and left alone from there on. Belongs to rank 0.
    """

    def __init__(
        self, run: ActiveRun, count: int, text_of: Callable[[int], Text], callbacks: Iterable[Any], notice: Any
    ) -> None:
        self._run, self._count, self._text_of, self._notice = run, count, text_of, notice
        found = ((_SHOWERS.get(kind), callback) for callback in callbacks for kind in type(callback).__mro__)
        self._trackers = [(show, callback) for show, callback in found if show is not None]

    def decided(self, plan: Plan) -> None:
        """Show the samples of a plan that have the highest scores; random ones where nobody scored."""
        if self._trackers:
            self._show(highest_of(plan, self._run.seed, self._count), plan.interval.start)

    def trained(self, interval: Interval, step: int, ids: NDArray[np.int64]) -> None:
        """Show some of what the first step of an interval trained on, where no plan was made."""
        if self._trackers:
            draw = derive("shown", self._run.seed, interval.decision)
            self._show(random_of(interval, ids, draw, self._count), step)

    def _show(self, shown: Sequence[Shown], step: int) -> None:
        domains = self._run.budget.domains
        of = domain_of(domains, np.array([one.sample for one in shown], dtype=np.int64))
        rows = [row_of(one, self._text_of(one.sample), domains[k].name) for one, k in zip(shown, of, strict=True)]
        for show, callback in list(self._trackers):
            try:
                show(callback, rows, step)
            except Exception as error:  # whatever a tracker raises: the run does without it
                self._trackers.remove((show, callback))
                name = type(callback).__name__.removesuffix("Callback")
                self._notice(f"{name} took no table of texts, and is shown no more of them: {first_line(error)}")


def row_of(shown: Shown, text: Text, domain: str) -> dict[str, Cell]:
    """A sample as a row of the table: of long texts the beginning."""
    parts = {role: "".join(p.text for p in text.pieces if p.role == role) for role in ("prompt", "answer")}
    values = (shown.rank, shown.score, shown.sample, domain, text.file, text.row or None)
    return dict(zip(COLUMNS, (*values, *(_short(part) for part in parts.values())), strict=True))


def markdown_of(rows: Sequence[Row]) -> str:
    """A table in Markdown, of which no text is markup: TensorBoard shows Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cell(row[name]) for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Cell) -> str:
    if not isinstance(value, str):
        return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    text = html.escape(" ".join(value.split()))
    return text.translate(_MARKS)


def _short(text: str) -> str:
    return text if len(text) <= _CHARACTERS else f"{text[: _CHARACTERS - 1]}…"


def _on_board(callback: Any, rows: Sequence[Row], step: int) -> None:
    if callback.tb_writer is not None:
        callback.tb_writer.add_text(NAME, markdown_of(rows), step)


def _in_wandb(callback: Any, rows: Sequence[Row], step: int) -> None:
    wandb: Any = import_module("wandb")
    if wandb.run is not None:
        table = wandb.Table(columns=list(COLUMNS), data=[[row[name] for name in COLUMNS] for row in rows])
        wandb.log({NAME: table, "train/global_step": step})


def _in_mlflow(callback: Any, rows: Sequence[Row], step: int) -> None:
    mlflow: Any = import_module("mlflow")
    if mlflow.active_run() is not None:
        columns = {name: [row[name] for row in rows] for name in COLUMNS}
        mlflow.log_table(columns, artifact_file=f"{NAME}/step-{step:06d}.json")


_SHOWERS: Mapping[type[Any], Callable[[Any, Sequence[Row], int], None]] = {
    TensorBoardCallback: _on_board,
    WandbCallback: _in_wandb,
    MLflowCallback: _in_mlflow,
}
