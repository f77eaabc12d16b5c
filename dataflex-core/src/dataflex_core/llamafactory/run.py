"""Run LLaMA-Factory with the trainer and data loader of its workflow replaced for the time of the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import dataflex_core
from dataflex_core.errors import RunFailed
from dataflex_core.journal.events import Event, Start
from dataflex_core.journal.pool_facts import drop_pool_facts
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.start import start_of
from dataflex_core.journal.tally import Tally
from dataflex_core.journal.writer import Journal, Report
from dataflex_core.llamafactory.args import dataset_dir
from dataflex_core.llamafactory.called import args_of, llamafactory_errors, loader_of
from dataflex_core.llamafactory.data import LoadedData
from dataflex_core.llamafactory.loading import Load
from dataflex_core.llamafactory.outset import load_data, outline
from dataflex_core.llamafactory.traced import summed
from dataflex_core.llamafactory.unheard import remarks
from dataflex_core.llamafactory.workflow import replaced
from dataflex_core.llamafactory.written import is_on
from dataflex_core.planning.budget import Budget
from dataflex_core.pool_rows import rows_file, write_rows
from dataflex_core.prepared import PreparedRun
from dataflex_core.score_file import About
from dataflex_core.trainer.active_run import ActiveRun, make_strategies
from dataflex_core.trainer.compose import compose
from dataflex_core.wording import first_line


def train(prepared: PreparedRun, report: Report) -> None:
    """Train in this process, one of the run's ranks. Without a strategy this is LLaMA-Factory as it stands.

    Raises `DataflexError` with the remedy where one is known; anything else comes through as it was raised.
    """
    from llamafactory.train.tuner import run_exp

    args = args_of(prepared)
    with llamafactory_errors(), ExitStack() as stack:
        if prepared.strategies:
            stack.enter_context(_deciding(prepared, report))
        run_exp(args)


def dry_run(prepared: PreparedRun, *, ranks: int, launched: bool = False) -> Start:
    """Load tokenizer and data, but no model: what a run on ``ranks`` ranks would begin with. Writes nothing.

    ``launched`` is whether a launcher starts a single rank, too: several are always.
    """
    with llamafactory_errors():
        load, data_args, training_args = loader_of(prepared, launched=launched or ranks > 1)
        loaded = load_data(prepared, load, data_args, training_args)
        known = outline(prepared, loaded, training_args, ranks=ranks)
        start = start_of(prepared, known, run="", ranks=ranks, seed=_seed(training_args))
        return _with_losses(start, loaded)


@contextmanager
def _deciding(prepared: PreparedRun, report: Report) -> Iterator[None]:
    runs: list[ActiveRun] = []

    def loader(stock: Callable[..., Any]) -> Callable[..., Any]:
        def get_dataset(template: Any, model_args: Any, data_args: Any, training_args: Any, **kwargs: Any) -> Any:
            def load(of: Any) -> dict[str, Any]:
                module: dict[str, Any] = stock(template, model_args, of, training_args, **kwargs)
                return module

            run = active_run(prepared, training_args, report)
            runs.append(run)
            return _begun(run, load, data_args, training_args)

        return get_dataset

    def trainer(stock: type[Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: compose(stock, runs[-1])(*args, **kwargs)

    try:
        with replaced(str(prepared.config.args.get("stage", "sft")), loader, trainer):
            yield
        if not runs:
            raise RunFailed(
                "LLaMA-Factory has trained without the run's strategies: by a workflow that is not known here",
                hint="unset whatever has it train otherwise than by the stage alone",
            )
    except BaseException as error:
        for run in runs:
            run.journal.fail(error)
        raise


def _begun(run: ActiveRun, load: Load, data_args: Any, training_args: Any) -> dict[str, Any]:
    """The data, loaded; the run knows it, and its journal is begun or gone on with."""
    prepared, ranks = run.prepared, training_args.world_size
    loaded = load_data(prepared, load, data_args, training_args)
    known = outline(prepared, loaded, training_args, ranks=ranks)
    set_up(run, known, loaded)
    if training_args.resume_from_checkpoint:
        run.go_on_from(Path(training_args.resume_from_checkpoint))
    else:
        start = start_of(prepared, known, run=run.journal.run, ranks=ranks, seed=run.seed)
        run.journal.write(_with_losses(start, loaded))
        for text in run.doubts:
            run.journal.notice(text)
    if training_args.process_index == 0 and "data" in run.changed:
        _drop_of_other_data(run)
    if training_args.process_index == 0 and prepared.config.dataflex.keep.scores:
        _keep_rows(run, loaded, Path(training_args.output_dir) / "dataflex")
    for text in _notices(prepared, loaded, data_args):
        run.journal.notice(text)
    for remark in (*remarks(prepared.config), *prepared.remarks()):
        run.journal.notice(str(remark))
    return loaded.module


def _drop_of_other_data(run: ActiveRun) -> None:
    """The rows and lengths of samples that the run had before: those of what it has now are kept as far as they may be.

    By their ids they would be taken for those.
    """
    folder, name = run.journal.path.parent, run.journal.run
    drop_pool_facts(folder, name)
    with suppress(OSError):
        rows_file(folder, name).unlink(missing_ok=True)


def _keep_rows(run: ActiveRun, loaded: LoadedData, folder: Path) -> None:
    """Which rows samples are of, where that is known, for whoever asks of this run when it is over."""
    if loaded.rows is None:
        return
    about = About(judge="", dataset_dir=dataset_dir(run.prepared.config.args), version=dataflex_core.__version__)
    try:
        write_rows(rows_file(folder, run.journal.run), about, loaded.domains, loaded.rows.origins)
    except OSError as error:
        run.journal.notice(f"which rows samples are of could not be written to {folder}: {first_line(error)}")


def set_up(run: ActiveRun, known: Budget, loaded: LoadedData) -> None:
    """A run is told of its data."""
    columns = {} if loaded.rows is None else loaded.rows.columns
    run.set_up(known, loaded.module["train_dataset"], loaded.targets, columns=columns)
    run.origins = None if loaded.rows is None else loaded.rows.origins
    run.holdout = dict(loaded.holdout)
    run.holdout_origins = {name: None if rows is None else rows.origins for name, rows in loaded.holdout_rows.items()}
    run.target_origins = {name: None if rows is None else rows.origins for name, rows in loaded.target_rows.items()}


def active_run(prepared: PreparedRun, training_args: Any, report: Report) -> ActiveRun:
    """The run in this process, its strategies built, with a journal in its output folder."""
    strategies = make_strategies(prepared)
    folder, tally = Path(training_args.output_dir) / "dataflex", Tally()
    is_first = training_args.process_index == 0

    def told(event: Event, *, past: bool) -> None:
        tally.add(event)
        report(event, past=past)

    journal = Journal(folder, owner=is_first, report=told)
    kept = folder if is_first and prepared.config.dataflex.keep.scores else None
    return ActiveRun(
        prepared=prepared,
        journal=journal,
        scores=ScoreFiles(kept, run=lambda: journal.run, notice=journal.notice),
        seed=_seed(training_args),
        strategies=strategies,
        tally=tally,
        is_tracked=bool(training_args.report_to) or is_on(prepared.config.args.get("use_swanlab")),
    )


def _seed(training_args: Any) -> int:
    return int(training_args.seed if training_args.data_seed is None else training_args.data_seed)


def _with_losses(start: Start, loaded: LoadedData) -> Start:
    """With the rows, and what is missing of them, of target sets too."""
    held = {name: rows for name, rows in loaded.target_rows.items() if rows is not None}
    lost = {name: fact for name, rows in held.items() for fact in summed([rows.dropped], name).values()}
    cut = {name: fact for name, rows in held.items() for fact in summed([rows.cut], name).values()}
    counts = {name: rows.origins.count(0, len(rows.origins)) for name, rows in held.items()}
    start = replace(start, target_dropped=lost, target_cut=cut, target_rows=counts)
    if loaded.rows is None:
        return start
    origins = loaded.rows.origins
    rows = {domain.name: origins.count(domain.start, domain.start + domain.size) for domain in loaded.domains}
    return replace(start, dropped=loaded.rows.dropped, cut=loaded.rows.cut, rows=rows)


def _notices(prepared: PreparedRun, loaded: LoadedData, data_args: Any) -> Iterator[str]:
    if loaded.rows is None:
        yield f"{data_args.tokenized_path} does not say which rows its samples are made of: DataFlex did not save it"
    if prepared.config.dataflex.domain_column is not None and not prepared.plans:
        yield "dataflex.domain_column has no effect on a weighter alone: samples keep LLaMA-Factory's order"
