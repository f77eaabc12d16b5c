"""Run LLaMA-Factory with the trainer and data loader of its workflow replaced for the time of the call."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError, DataflexError, InvalidConfig
from dataflex_core.journal.events import Event, Start
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.start import start_of
from dataflex_core.journal.tally import Tally
from dataflex_core.journal.writer import Journal, Report
from dataflex_core.llamafactory.data import LoadedData, load_by_domain, load_whole
from dataflex_core.llamafactory.datasets.replay import loading_error
from dataflex_core.llamafactory.keys import LAUNCH_KEYS
from dataflex_core.llamafactory.loading import Loading
from dataflex_core.llamafactory.stages import STAGES
from dataflex_core.llamafactory.traced import Wanted
from dataflex_core.llamafactory.unheard import remarks
from dataflex_core.llamafactory.values import whole
from dataflex_core.llamafactory.written import is_on
from dataflex_core.planning.budget import Budget, budget_of
from dataflex_core.prepared import MIXER, PreparedRun
from dataflex_core.trainer.active_run import ActiveRun, make_strategies
from dataflex_core.trainer.compose import compose
from dataflex_core.trainer.interrupt import terminated
from dataflex_core.wording import first_line


def train(prepared: PreparedRun, report: Report) -> None:
    """Train in this process, one of the run's ranks. Without a strategy this is LLaMA-Factory as it stands.

    Raises `DataflexError` with the remedy where one is known; anything else comes through as it was raised.
    """
    from llamafactory.train.tuner import run_exp

    args = _args(prepared)
    with llamafactory_errors(), ExitStack() as stack:
        if prepared.strategies:
            stack.enter_context(_replaced(prepared, report))
        run_exp(args)


def dry_run(prepared: PreparedRun, *, ranks: int) -> Start:
    """Load tokenizer and data, but no model: what a run on ``ranks`` ranks would begin with. Writes nothing."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    with llamafactory_errors():
        model_args, data_args, training_args, finetuning_args, _ = get_train_args(_args(prepared))
        tokenizer_module = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(tokenizer_module["tokenizer"], data_args)
        if data_args.tokenized_path is not None and not Path(data_args.tokenized_path).exists():
            data_args.tokenized_path = None  # LLaMA-Factory would save the data there

        def load(narrowed: Any) -> dict[str, Any]:
            stage = finetuning_args.stage
            module: dict[str, Any] = get_dataset(
                template, model_args, narrowed, training_args, stage=stage, **tokenizer_module
            )
            return module

        loaded = _load(prepared, load, data_args, training_args)
        known = _outline(prepared, loaded, training_args, ranks=ranks)
        start = start_of(prepared, known, run="", ranks=ranks, seed=_seed(training_args))
        return _with_losses(start, loaded)


def _args(prepared: PreparedRun) -> dict[str, Any]:
    return {key: whole(key, value) for key, value in prepared.config.args.items() if key not in LAUNCH_KEYS}


@contextmanager
def llamafactory_errors() -> Iterator[None]:
    """Turn what LLaMA-Factory says of a configuration or of data into errors with a remedy."""
    try:
        yield
    except DataflexError:
        raise
    except Exception as error:
        if (told := loading_error(error)) is not None:
            raise told from error
        # Its arguments join the ranks, too, and what goes wrong there is no fault of theirs: a RuntimeError, but for
        # NotImplementedError, which is one by inheritance and how LLaMA-Factory refuses.
        of_ranks = isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError)
        if not of_ranks and any(name.startswith("llamafactory.hparams") for name in _modules(error)):
            raise InvalidConfig(f"LLaMA-Factory refuses the configuration: {first_line(error)}") from error
        raise


@contextmanager
def _replaced(prepared: PreparedRun, report: Report) -> Iterator[None]:
    stage = STAGES[str(prepared.config.args.get("stage", "sft"))]
    workflow: Any = importlib.import_module(stage.workflow)
    trainer, loader = getattr(workflow, stage.trainer), workflow.get_dataset
    runs: list[ActiveRun] = []

    def get_dataset(template: Any, model_args: Any, data_args: Any, training_args: Any, **kwargs: Any) -> Any:
        run = _active_run(prepared, training_args, report)
        runs.append(run)

        def load(narrowed: Any) -> dict[str, Any]:
            module: dict[str, Any] = loader(template, model_args, narrowed, training_args, **kwargs)
            return module

        loaded = _load(prepared, load, data_args, training_args)
        known = _outline(prepared, loaded, training_args, ranks=training_args.world_size)
        run.set_up(known, loaded.module["train_dataset"], loaded.targets, columns=_columns(loaded))
        run.origins = None if loaded.rows is None else loaded.rows.origins
        run.target_origins = {name: None if rows is None else rows.origins for name, rows in loaded.target_rows.items()}
        if training_args.resume_from_checkpoint:
            run.go_on_from(Path(training_args.resume_from_checkpoint))
        else:
            ranks = training_args.world_size
            start = start_of(prepared, known, run=run.journal.run, ranks=ranks, seed=run.seed)
            run.journal.write(_with_losses(start, loaded))
        for text in _notices(prepared, loaded, data_args):
            run.journal.notice(text)
        for remark in remarks(prepared.config):
            run.journal.notice(str(remark))
        return loaded.module

    def make_trainer(*args: Any, **kwargs: Any) -> Any:
        return compose(trainer, runs[-1])(*args, **kwargs)

    workflow.get_dataset = get_dataset
    setattr(workflow, stage.trainer, make_trainer)
    # A rank among others waits for them in C++, where no handler of Python's is called.
    alone = int(os.environ.get("WORLD_SIZE") or 1) == 1
    try:
        with terminated() if alone else nullcontext():
            yield
    except BaseException as error:
        for run in runs:
            run.journal.fail(error)
        raise
    finally:
        workflow.get_dataset = loader
        setattr(workflow, stage.trainer, trainer)


def _active_run(prepared: PreparedRun, training_args: Any, report: Report) -> ActiveRun:
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


def _load(prepared: PreparedRun, get_dataset: Any, data_args: Any, training_args: Any) -> LoadedData:
    load, config = load_by_domain if prepared.plans else load_whole, prepared.config.dataflex
    wanted = Wanted(columns=config.columns, domain_column=config.domain_column)
    how = Loading(seed=training_args.seed, wanted=wanted, saves=training_args.should_save)
    loaded = load(get_dataset, data_args, how)
    if loaded.merged and MIXER in prepared.strategies:
        raise DataError(
            f"a mixer needs domains, and tokenized_path holds {loaded.domains[0].name} in one piece",
            hint="point tokenized_path at a folder that does not exist yet",
        )
    return loaded


def _with_losses(start: Start, loaded: LoadedData) -> Start:
    """With what is missing of the rows."""
    return start if loaded.rows is None else replace(start, dropped=loaded.rows.dropped, cut=loaded.rows.cut)


def _columns(loaded: LoadedData) -> Mapping[str, Any]:
    return {} if loaded.rows is None else loaded.rows.columns


def _notices(prepared: PreparedRun, loaded: LoadedData, data_args: Any) -> Iterator[str]:
    if loaded.rows is None:
        yield f"{data_args.tokenized_path} does not say which rows its samples are made of: DataFlex did not save it"
    if prepared.config.dataflex.domain_column is not None and not prepared.plans:
        yield "dataflex.domain_column has no effect on a weighter alone: samples keep LLaMA-Factory's order"


def _outline(prepared: PreparedRun, loaded: LoadedData, training_args: Any, *, ranks: int) -> Budget:
    return budget_of(
        prepared,
        domains=loaded.domains,
        targets={name: len(data) for name, data in loaded.targets.items()},
        global_batch=training_args.train_batch_size * training_args.gradient_accumulation_steps * ranks,
        micro_batches=training_args.gradient_accumulation_steps,
        max_steps=training_args.max_steps,
        epochs=training_args.num_train_epochs,
        drop_last=training_args.dataloader_drop_last,
    )


def _modules(error: BaseException) -> list[str]:
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(str(traceback.tb_frame.f_globals.get("__name__", "")))
        traceback = traceback.tb_next
    return names
