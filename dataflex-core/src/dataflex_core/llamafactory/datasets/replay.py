"""The row over which LLaMA-Factory stopped, found by going through the rows once more, one by one.

For what a look into the files cannot tell. It works on a failed call of LLaMA-Factory's, from the arguments in its
frame, so that a run that goes well is as it would be without this.
"""

from __future__ import annotations

import copy
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.datasets.entry import INDEX
from dataflex_core.llamafactory.datasets.files import files_of
from dataflex_core.llamafactory.datasets.index import Named
from dataflex_core.llamafactory.datasets.places import line_of_row
from dataflex_core.llamafactory.datasets.read import places_in_split
from dataflex_core.llamafactory.datasets.tables import pieces
from dataflex_core.llamafactory.datasets.wrong import Wrong, like_it, words_of
from dataflex_core.llamafactory.swapped import swapped
from dataflex_core.wording import first_line

_LOADER = "llamafactory.data.loader"
_WORK = {"_load_single_dataset", "_get_preprocessed_dataset"}
_ALIKE = 20  # rows that fail like the first: then all may
_ADDRESSES = {
    "hf_hub": "hf_hub_url",
    "ms_hub": "ms_hub_url",
    "om_hub": "om_hub_url",
    "script": "script_url, which names a folder of data files,",
    "cloud_file": "cloud_file_name, which begins with s3:// or gs://,",
}
SECONDS = 120.0
"""How long rows are gone through; beyond that the error stays as it was raised."""


def loading_error(error: Exception) -> DataError | None:
    """The data set, file and row over which loading stopped, with the library's own words; None where it is not known.

    ``error`` was caught from LLaMA-Factory's ``get_dataset``. Every rank that failed can call it alone.
    """
    return next(iter(_told(error, limit=1)), None)


def loading_errors(error: Exception) -> Sequence[DataError]:
    """The same for each kind of fault of each data set that was being loaded: its first row, and how many are like it.

    As many rows are gone through as `SECONDS` allow.
    """
    return _told(error, limit=None)


def _told(error: Exception, *, limit: int | None) -> Sequence[DataError]:
    calls = dict(_frames(error.__traceback__))
    if "get_dataset" not in calls or not _WORK & calls.keys():
        return []
    first: dict[tuple[object, ...], _Failure] = {}
    counts: dict[tuple[object, ...], int] = {}
    tried: dict[tuple[object, ...], int] = {}
    try:
        for whose, failure in _tried(calls["get_dataset"]):
            tried[whose] = tried.get(whose, 0) + 1
            if failure is not None:
                first.setdefault(failure.kind, failure)
                counts[failure.kind] = counts.get(failure.kind, 0) + 1
            if limit is not None and first and (failure is None or failure.index is None or tried[whose] >= _ALIKE):
                break
        told = [failure.told(counts[kind], tried[failure.whose]) for kind, failure in first.items()]
        return told[:limit]
    except Exception:  # while looking for the reason of another error: that one is told
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    """What was raised over row ``index``, from 0 through all files, of a data set at ``place``; None: over all.

    ``source`` is LLaMA-Factory's word for where the data set is loaded from.
    """

    named: Named
    place: Path | None
    error: Exception
    index: int | None = None
    source: str = "file"

    @property
    def whose(self) -> tuple[object, ...]:
        """The data set."""
        return self.named.where, self.named.name

    @property
    def kind(self) -> tuple[object, ...]:
        """Rows that fail at one line of code are told once."""
        where = traceback.extract_tb(self.error.__traceback__)[-1]
        return *self.whose, type(self.error), where.filename, where.lineno

    def told(self, alike: int, tried: int) -> DataError:
        """``alike`` rows of the ``tried`` ones failed in this way: where that is all, no row is to blame."""
        if self.index is None:
            return self.named.error(_unloadable(self.error, self.place, self.source))
        if alike == tried > 1:
            return self.named.error(_no_row_usable(self.error, self.place, tried))
        return self.named.error(_unusable(self.error, self.place, self.index), like_it(alike - 1))


def _frames(at: TracebackType | None) -> Iterator[tuple[str, Mapping[str, Any]]]:
    while at is not None:
        frame = at.tb_frame
        if frame.f_globals.get("__name__") == _LOADER:
            yield frame.f_code.co_name, frame.f_locals
        at = at.tb_next


def _tried(given: Mapping[str, Any]) -> Iterator[tuple[tuple[object, ...], _Failure | None]]:
    """Each data set that cannot be loaded, and each row of the others: whose it is, and what was raised, or None."""
    from llamafactory.data.parser import get_dataset_list

    end = time.monotonic() + SECONDS
    data_args = given["data_args"]
    for key in ("dataset", "eval_dataset"):
        names = getattr(data_args, key) or []
        for name, attributes in zip(names, get_dataset_list(names, data_args.dataset_dir), strict=True):
            named = Named(key=key, name=name, where=(key,))
            place = Path(str(data_args.dataset_dir)) / attributes.dataset_name
            local = place if attributes.load_from == "file" else None
            tell = partial(_Failure, named=named, place=local)
            whose = (named.where, name)
            try:
                rows = _rows(attributes, given)
            except Exception as failed:
                yield whose, tell(error=failed, source=attributes.load_from)
                continue
            for index, row in zip(_places(rows, attributes.split), rows, strict=False):
                if time.monotonic() > end:
                    return
                failed_row = _failure(row, attributes, given, is_eval=key == "eval_dataset")
                yield whose, None if failed_row is None else tell(error=failed_row, index=index)


def _rows(attributes: Any, given: Mapping[str, Any]) -> Any:
    """The rows as they are read, before they are converted; all of those of which some were drawn."""
    from llamafactory.data import loader

    data_args = given["data_args"]
    if attributes.num_samples is not None:
        data_args = copy.copy(data_args)
        attributes.num_samples = data_args.max_samples = None  # the first of the draw, not of the rows
    with swapped(loader, align_dataset=lambda dataset, *_: dataset):
        return loader._load_single_dataset(attributes, given["model_args"], data_args, given["training_args"])


def _places(rows: Any, split: str) -> Iterator[int]:
    """Where in all files the rows lie, one after the other."""
    sizes = {name: info.num_examples for name, info in (rows.info.splits or {}).items()}
    return chain(*(places_in_split(str(split), sizes) if sizes else ()) or (count(),))


def _failure(row: Mapping[str, Any], attributes: Any, given: Mapping[str, Any], *, is_eval: bool) -> Exception | None:
    """What converting and tokenising a row alone raises."""
    from llamafactory.data import loader
    from llamafactory.data.converter import get_dataset_converter

    data_args, generates = given["data_args"], given["training_args"].predict_with_generate and is_eval
    words = {name: given.get(name) for name in ("stage", "template", "tokenizer", "processor")}
    try:
        converted = get_dataset_converter(attributes.formatting, attributes, data_args)(row)
        processor = loader._get_dataset_processor(data_args, **words, do_generate=generates)
        processor.preprocess_dataset({name: [value] for name, value in converted.items()})
    except Exception as error:
        return error
    return None


def _unloadable(error: Exception, place: Path | None, source: str) -> Wrong:
    cause: BaseException = error
    while (deeper := cause.__cause__) is not None:
        cause = deeper
    said = f"it cannot be loaded: {type(cause).__name__}: {words_of(cause)}"
    return Wrong(kind="loading", said=said, hint=_remedy(cause, source), file=None if place is None else str(place))


def _remedy(error: BaseException, source: str) -> str:
    """What to do about a data set that cannot be loaded."""
    if isinstance(error, ImportError) and error.name:
        return f"pip install {error.name.partition('.')[0]}"
    if "nknown split" in first_line(error):
        return f"mend split in {INDEX}, or leave it out"
    if source == "file":
        return "mend its files"
    if isinstance(error, OSError) and "ffline" in str(error):
        return "let the run reach the hub, or put the data here and name them by file_name"
    return f"mend {_ADDRESSES.get(source, 'its address')} in {INDEX}"


def _no_row_usable(error: Exception, place: Path | None, rows: int) -> Wrong:
    said = f"LLaMA-Factory cannot use any of the {rows:,} rows that it was given: {type(error).__name__}: "
    hint = f"set template to the model's, or mend columns and tags in {INDEX}"
    file = None if place is None else str(place)
    return Wrong(kind="rows", said=said + first_line(error)[:300], hint=hint, file=file)


def _unusable(error: Exception, place: Path | None, index: int) -> Wrong:
    said = f"LLaMA-Factory cannot use the row: {type(error).__name__}: {first_line(error)[:300]}"
    hint = "mend the row, or take it out"
    if place is None:
        return Wrong(kind="row", said=said, hint=hint, row=index + 1)
    file, row = _file_of(place, index)
    line = line_of_row(file, row) if file.is_file() and not _archived(place) else None
    return Wrong(kind="row", said=said, hint=hint, file=str(file), row=row + 1, line=line)


def _file_of(place: Path, index: int) -> tuple[Path, int]:
    """The file of a row, and its place there, both as far as they can be known."""
    files, _ = files_of(place)
    if files is None or (files.packed and len(files.paths) > 1):
        return place, index
    if len(files.paths) > 1:
        before = 0
        for piece in pieces(files):
            if index < before + piece.table.num_rows:
                return piece.file, piece.start + index - before
            before += piece.table.num_rows
    return files.paths[0], index


def _archived(place: Path) -> bool:
    files, _ = files_of(place)
    return files is None or files.packed
