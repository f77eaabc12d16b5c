"""The whole pool judged without training, by the preparation and the signals of a run, and written to a file."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dataflex_core
from dataflex_core.config.plain import plain_values
from dataflex_core.config.section import SECTION
from dataflex_core.domains import domain_of
from dataflex_core.errors import RunFailed
from dataflex_core.journal.events import Notice
from dataflex_core.journal.writer import Report
from dataflex_core.judging import Judge, Judged, Judging, averaged
from dataflex_core.llamafactory.args import RESUME, dataset_dir
from dataflex_core.llamafactory.called import args_of, llamafactory_errors
from dataflex_core.llamafactory.data import LoadedData, load_by_domain
from dataflex_core.llamafactory.holdout import held_out
from dataflex_core.llamafactory.judging import judges_of
from dataflex_core.llamafactory.loading import Load
from dataflex_core.llamafactory.outset import how_to_load, outline
from dataflex_core.llamafactory.run import active_run, set_up
from dataflex_core.llamafactory.workflow import replaced
from dataflex_core.planning.budget import Budget
from dataflex_core.prepared import SELECTOR, PreparedRun, title_of
from dataflex_core.rows import Row
from dataflex_core.score_file import About, CheckpointFact, Lines, write_scores
from dataflex_core.scoring.sample_keys import keys_of
from dataflex_core.trainer.active_run import ActiveRun
from dataflex_core.trainer.judge import PoolJudged, compose_judging
from dataflex_core.wording import first_line

_LINES = 1 << 16


def judge_pool(prepared: PreparedRun, judging: Judging, report: Report) -> None:
    """Judge in this process, one of the ranks, and write the file on rank 0.

    ``prepared`` is of what `for_judging` made. The data is loaded once, the model once for each checkpoint. Raises as
    `train` does, and `RunFailed` where the file cannot be written.
    """
    judges, done, data = judges_of(judging), list[Judged](), _Data(prepared=prepared, report=report)
    first = True
    for number, judge in enumerate(judges):
        one, first = _judged(data, judging, judge, judging.work / str(number))
        done.append(one)
        gc.collect()  # a model lies in a circle of references, and the next one is about to be loaded
    _leave_ranks()
    if first:
        if len(done) > 1 and not any(one.learning_rate for one in done):
            report(Notice(text="no checkpoint has a learning rate above zero: they weigh alike"), past=False)
        _write(data, judging, judges, done)


@dataclass(slots=True, kw_only=True, eq=False)
class _Data:
    """What is loaded once for all judges."""

    prepared: PreparedRun
    report: Report
    found: tuple[LoadedData, Budget] | None = None

    def load(self, load: Load, data_args: Any, training_args: Any) -> tuple[LoadedData, Budget]:
        if self.found is None:
            loaded = load_by_domain(load, data_args, how_to_load(self.prepared, training_args))
            loaded = held_out(loaded, self.prepared.config.dataflex.holdout)
            if loaded.holdout and training_args.process_index == 0:
                self.report(Notice(text=_kept_out(self.prepared, loaded)), past=False)
            self.found = loaded, outline(self.prepared, loaded, training_args, ranks=training_args.world_size)
        return self.found


def _kept_out(prepared: PreparedRun, loaded: LoadedData) -> str:
    out, left = sum(map(len, loaded.holdout.values())), sum(domain.size for domain in loaded.domains)
    share = prepared.config.dataflex.holdout
    return f"{SECTION}.holdout: {share:g} keeps {out} of {out + left} samples out of training: they are not judged"


def _judged(data: _Data, judging: Judging, judge: Judge, output: Path) -> tuple[Judged, bool]:
    """What one model says, and whether this is rank 0."""
    from llamafactory.train.tuner import run_exp

    runs: list[ActiveRun] = []

    def loader(stock: Callable[..., Any]) -> Callable[..., Any]:
        def get_dataset(template: Any, model_args: Any, data_args: Any, training_args: Any, **kwargs: Any) -> Any:
            def load(narrowed: Any) -> dict[str, Any]:
                module: dict[str, Any] = stock(template, model_args, narrowed, training_args, **kwargs)
                return module

            run = active_run(data.prepared, training_args, data.report)
            loaded, known = data.load(load, data_args, training_args)
            set_up(run, known, loaded)
            runs.append(run)
            return loaded.module

        return get_dataset

    def trainer(stock: type[Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: compose_judging(stock, runs[-1], judge, judging.signal)(*args, **kwargs)

    args = {**args_of(data.prepared), "output_dir": str(output)}
    args |= {} if judge.checkpoint is None else {RESUME: judge.checkpoint}
    try:
        with llamafactory_errors(), replaced(str(args.get("stage", "sft")), loader, trainer):
            run_exp(args)
    except PoolJudged as told:
        return told.judged, told.first
    raise AssertionError("training begins")


def _leave_ranks() -> None:
    """As LLaMA-Factory does when it has trained."""
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def _write(data: _Data, judging: Judging, judges: tuple[Judge, ...], done: list[Judged]) -> None:
    scores, weights = averaged(done)
    facts = tuple(
        CheckpointFact(path=judge.checkpoint, step=one.step, weight=weight)
        for judge, one, weight in zip(judges, done, weights, strict=True)
        if judge.checkpoint is not None
    )
    out = Path(judging.out)
    try:
        write_scores(out, _about(data.prepared, judging, facts, scores), _parts(data, scores.columns()))
    except OSError as error:
        hint = "make room or name another file; the same command goes on from what was judged"
        raise RunFailed(f"{out} could not be written: {error.strerror or first_line(error)}", hint=hint) from error
    with suppress(OSError):
        shutil.rmtree(judging.work)


def _about(prepared: PreparedRun, judging: Judging, facts: tuple[CheckpointFact, ...], scores: Judged) -> About:
    chosen = prepared.strategies.get(SELECTOR)
    return About(
        judge=f"signal {judging.signal}" if chosen is None else title_of(chosen.record),
        params={} if chosen is None else plain_values(chosen.params),
        checkpoints=facts,
        targets=scores.names if scores.largest else (),
        dataset_dir=dataset_dir(prepared.config.args),
        version=dataflex_core.__version__,
    )


def _parts(data: _Data, columns: Mapping[str, Any]) -> Iterator[Lines]:
    """The pool's lines, some samples at a time."""
    assert data.found is not None, "it was judged"
    loaded, known = data.found
    dataset, domains = loaded.module["train_dataset"], known.domains
    origins = None if loaded.rows is None else loaded.rows.origins
    for start in range(0, known.pool, _LINES):
        ids = np.arange(start, min(start + _LINES, known.pool), dtype=np.int64)
        keys, have = keys_of(dataset, ids)
        rows: list[tuple[Row, ...]] = [(origins.of(int(i)) if origins is not None else None) or () for i in ids]
        # numpy's bytes lose the zeros at their end.
        digests = [
            key.ljust(16, b"\0").hex() if known else None for key, known in zip(keys.tolist(), have, strict=True)
        ]
        yield Lines(
            ids=ids,
            scores={name: values[ids] for name, values in columns.items()},
            domains=[domains[int(k)].name for k in domain_of(domains, ids)],
            rows=rows,
            digests=digests,
        )
