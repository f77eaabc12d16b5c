"""One call of LLaMA-Factory's loader, with what is known of the samples that it gives."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.journal.facts import RowsFact
from dataflex_core.llamafactory import traced_files
from dataflex_core.llamafactory.datasets.index import is_tokenized
from dataflex_core.llamafactory.reasons import remedy
from dataflex_core.llamafactory.traced import Traced, Wanted
from dataflex_core.llamafactory.tracing import tracing

Load = Callable[[Any], dict[str, Any]]
"""LLaMA-Factory's ``get_dataset``, with everything but the data arguments given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """How data is loaded: ``seed`` is of the draw of what ``val_size`` holds out, ``wanted`` what to know of rows.

    ``targets`` are the evaluation sets that strategies are given, all where none is named. ``saves`` is whether this
    rank is the one that saves tokenised data, ``shows`` whether LLaMA-Factory prints a sample.
    """

    seed: int
    wanted: Wanted = field(default_factory=Wanted)
    targets: tuple[str, ...] = ()
    saves: bool = True
    shows: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What LLaMA-Factory gave, ``module``, and what is known of the samples in it: None where nobody knows."""

    module: dict[str, Any]
    rows: Traced | None
    target_rows: Mapping[str, Traced | None]


@contextmanager
def _numbers_stored_as_ever() -> Iterator[None]:
    """LLaMA-Factory changes for good how datasets stores whole numbers, where ``neat_packing`` is on.

    What a later run in this process keeps in its cache would be of other types than what is there.
    """
    from datasets.arrow_writer import OptimizedTypedSequence

    as_ever = OptimizedTypedSequence.__init__
    try:
        yield
    finally:
        OptimizedTypedSequence.__init__ = as_ever


@_numbers_stored_as_ever()
def load_known(load: Load, data_args: Any, how: Loading) -> Known:
    """Load. Columns are of training samples alone. Raises `DataError` where a row lacks what is wanted of it."""
    if is_tokenized(data_args.tokenized_path):
        return _kept(load(data_args), Path(data_args.tokenized_path), how.wanted)
    with tracing(how.wanted, shows=how.shows) as watch:
        try:
            module = load(data_args)
        except (RuntimeError, StopIteration) as error:
            if isinstance(error, StopIteration) or "Cannot find" in str(error):
                names = data_args.dataset or data_args.eval_dataset or []
                raise no_sample_left(names, data_args, watch.left_out()) from error
            raise
    targets = targets_of(module)
    rows = watch.traced(watch.train[0], how.wanted.columns) if watch.train else None
    known = [watch.traced(made) for made in watch.held]
    target_rows = dict(zip(targets, known if len(known) == len(targets) else [None] * len(targets), strict=True))
    if rows is None and "train_dataset" in module and (lacking := how.wanted.names):
        raise DataError(
            f"which rows samples are made of is not known here, and so not what they have in {lacking[0]}",
            hint="leave columns and domain_column out of the dataflex: section",
        )
    if data_args.tokenized_path is not None and how.saves:
        folder = Path(data_args.tokenized_path)
        if rows is not None:
            traced_files.write(traced_files.file_of(folder, "train"), rows, module["train_dataset"], how.wanted)
        for place, (name, part) in enumerate(target_rows.items()):
            if part is not None:
                traced_files.write(traced_files.file_of(folder, f"eval-{place}"), part, targets[name], Wanted())
    return Known(module=module, rows=rows, target_rows=target_rows)


def narrowed(data_args: Any, part: str, **changes: Any) -> Any:
    """LLaMA-Factory's data arguments with ``changes``, and nothing held out; ``part`` names what is tokenised apart."""
    # copy, not dataclasses.replace: that would run __post_init__ again, which shortens cutoff_len when packing.
    made = copy.copy(data_args)
    made.val_size = 0.0
    if data_args.tokenized_path is not None:
        # Beside the folder, not in it: LLaMA-Factory takes any folder that is not empty for a data set it saved.
        made.tokenized_path = str(Path(f"{Path(data_args.tokenized_path)}-dataflex") / part)
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def no_sample_left(names: Sequence[str], data_args: Any, left_out: Mapping[str, RowsFact] | None = None) -> DataError:
    """The error for data sets of which nothing remains after tokenising, and packing; ``left_out`` are their rows."""
    how = "packing to" if data_args.packing else "tokenising to"
    said = f"data set {', '.join(names)} has no sample left after {how} cutoff_len {data_args.cutoff_len}"
    reason = ""
    for fact in (left_out or {}).values():
        reason = fact.reason
        said = f"{said}; the first row that is left out, row {fact.row} of {fact.file}: {reason}"
        break
    return DataError(said, hint=remedy(reason))


def targets_of(module: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation sets that LLaMA-Factory gave, by name."""
    held = module.get("eval_dataset")
    if held is None:
        return {}
    return dict(held) if isinstance(held, dict) else {"eval": held}


def _kept(module: dict[str, Any], folder: Path, wanted: Wanted) -> Known:
    train = module.get("train_dataset")
    rows = None if train is None else traced_files.read(traced_files.file_of(folder, "train"), train, wanted)
    targets = targets_of(module)
    target_rows = {
        name: traced_files.read(traced_files.file_of(folder, f"eval-{place}"), data, Wanted())
        for place, (name, data) in enumerate(targets.items())
    }
    return Known(module=module, rows=rows, target_rows=target_rows)
