"""Run LLaMA-Factory with the trainer and data loader of its workflow replaced for the time of the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dataflex_core
from dataflex_core.errors import DataError, DataflexError, InvalidConfig
from dataflex_core.journal.events import Event, Start
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.start import start_of
from dataflex_core.journal.tally import Tally
from dataflex_core.journal.writer import Journal, Report
from dataflex_core.llamafactory.args import RunArgs, dataset_dir
from dataflex_core.llamafactory.checks import is_dense
from dataflex_core.llamafactory.data import LoadedData, load_by_domain, load_whole
from dataflex_core.llamafactory.datasets.replay import loading_error
from dataflex_core.llamafactory.environment import logs_details
from dataflex_core.llamafactory.holdout import held_out
from dataflex_core.llamafactory.keys import LAUNCH_KEYS
from dataflex_core.llamafactory.loading import Load, Loading
from dataflex_core.llamafactory.model_size import experts_of_model, layers_of_model
from dataflex_core.llamafactory.traced import Wanted, summed
from dataflex_core.llamafactory.unheard import remarks
from dataflex_core.llamafactory.values import whole
from dataflex_core.llamafactory.workflow import replaced
from dataflex_core.llamafactory.written import is_on
from dataflex_core.planning.budget import Budget, budget_of
from dataflex_core.planning.units import mean_tokens_of
from dataflex_core.prepared import MIXER, PreparedRun
from dataflex_core.score_file import About, rows_file, write_rows
from dataflex_core.scoring.batching import target_tokens_of
from dataflex_core.spec import Need
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


def dry_run(prepared: PreparedRun, *, ranks: int) -> Start:
    """Load tokenizer and data, but no model: what a run on ``ranks`` ranks would begin with. Writes nothing."""
    with llamafactory_errors():
        load, data_args, training_args = loader_of(prepared)
        loaded = load_data(prepared, load, data_args, training_args)
        known = outline(prepared, loaded, training_args, ranks=ranks)
        start = start_of(prepared, known, run="", ranks=ranks, seed=_seed(training_args))
        return _with_losses(start, loaded)


def loader_of(prepared: PreparedRun) -> tuple[Load, Any, Any]:
    """What loads data in LLaMA-Factory's way, and its arguments of data and training."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    model_args, data_args, training_args, finetuning_args, _ = get_train_args(args_of(prepared))
    tokenizer_module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(tokenizer_module["tokenizer"], data_args)
    if data_args.tokenized_path is not None and not Path(data_args.tokenized_path).exists():
        data_args.tokenized_path = None  # LLaMA-Factory would save the data there

    def load(of: Any) -> dict[str, Any]:
        stage = finetuning_args.stage
        module: dict[str, Any] = get_dataset(template, model_args, of, training_args, stage=stage, **tokenizer_module)
        return module

    return load, data_args, training_args


def args_of(prepared: PreparedRun) -> dict[str, Any]:
    """LLaMA-Factory's arguments, as it takes them."""
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
            hint = "change what it names, or leave it out"
            raise InvalidConfig(f"LLaMA-Factory refuses the configuration: {first_line(error)}", hint=hint) from error
        raise


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
    if training_args.process_index == 0 and prepared.config.dataflex.keep.scores:
        _keep_rows(run, loaded, Path(training_args.output_dir) / "dataflex")
    for text in _notices(prepared, loaded, data_args):
        run.journal.notice(text)
    for remark in (*remarks(prepared.config), *prepared.remarks()):
        run.journal.notice(str(remark))
    return loaded.module


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


def load_data(prepared: PreparedRun, load: Load, data_args: Any, training_args: Any) -> LoadedData:
    """The data, by domain where strategies plan, without what is held out.

    Raises `DataError` where a mixer gets no domains, and as `held_out`.
    """
    by = load_by_domain if prepared.plans else load_whole
    loaded = by(load, data_args, how_to_load(prepared, training_args))
    if loaded.merged and MIXER in prepared.strategies:
        raise DataError(
            f"a mixer needs domains, and tokenized_path holds {loaded.domains[0].name} in one piece",
            hint="point tokenized_path at a folder that does not exist yet",
        )
    return held_out(loaded, prepared.config.dataflex.holdout)


def how_to_load(prepared: PreparedRun, training_args: Any) -> Loading:
    """With the columns that the configuration names; a sample is printed where more than warnings are logged."""
    config = prepared.config.dataflex
    wanted = Wanted(columns=config.columns, domain_column=config.domain_column)
    return Loading(
        seed=training_args.seed,
        wanted=wanted,
        targets=config.targets,
        saves=training_args.should_save,
        shows=logs_details(),
    )


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


def outline(prepared: PreparedRun, loaded: LoadedData, training_args: Any, *, ranks: int) -> Budget:
    """What the run has to work with, on ``ranks`` ranks. Raises a `UsageError` for what cannot be."""
    _check_experts(prepared)
    return budget_of(
        prepared,
        domains=loaded.domains,
        targets={name: len(data) for name, data in loaded.targets.items()},
        holdout={name: len(data) for name, data in loaded.holdout.items()},
        global_batch=training_args.train_batch_size * training_args.gradient_accumulation_steps * ranks,
        micro_batches=training_args.gradient_accumulation_steps,
        max_steps=training_args.max_steps,
        epochs=training_args.num_train_epochs,
        drop_last=training_args.dataloader_drop_last,
        layers=layers_of_model(RunArgs(written=prepared.config.args)) if _asks_for_layers(prepared) else None,
        mean_tokens=_mean_tokens(prepared, loaded),
    )


def _mean_tokens(prepared: PreparedRun, loaded: LoadedData) -> tuple[float, ...] | None:
    """Of each domain, where a mixer's proportions are shares of target tokens: all labels are looked at once."""
    if prepared.config.dataflex.unit == "samples" or MIXER not in prepared.strategies:
        return None
    return mean_tokens_of(loaded.domains, target_tokens_of(loaded.module["train_dataset"]))


def _asks_for_layers(prepared: PreparedRun) -> bool:
    return any(chosen.record.spec.cost_of is not None for chosen in prepared.strategies.values())


def _check_experts(prepared: PreparedRun) -> None:
    """Whether a model of the hub has experts, where a strategy asks for them: it has been fetched by now."""
    asking = next((chosen for chosen in prepared.strategies.values() if Need.EXPERT_LOADS in chosen.needs), None)
    args = RunArgs(written=prepared.config.args)
    if asking is not None and experts_of_model(args) == 0:
        raise is_dense(asking.record.spec, args.model)


def _modules(error: BaseException) -> list[str]:
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(str(traceback.tb_frame.f_globals.get("__name__", "")))
        traceback = traceback.tb_next
    return names
