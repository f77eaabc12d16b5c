"""The data sets that a configuration names, as the index of its folder has them: no file of rows is opened."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.args import Args, dataset_names
from dataflex_core.llamafactory.datasets.entry import INDEX, Entry, read_entry
from dataflex_core.llamafactory.datasets.files import Files, files_of
from dataflex_core.llamafactory.datasets.rows import PREFERENCES, Use
from dataflex_core.llamafactory.datasets.wrong import Wrong
from dataflex_core.others_files import json_of
from dataflex_core.wording import did_you_mean

KEYS = ("dataset", "eval_dataset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A data set that ``key`` of the configuration names ``where``, with its entry and files where these are sound.

    ``misplaced`` is what of it the run's stage does not train on.
    """

    key: str
    name: str
    where: tuple[str | int, ...]
    entry: Entry | None = None
    files: Files | None = None
    misplaced: Wrong | None = None

    def error(self, wrong: Wrong, more: str = "") -> DataError:
        """What is wrong with it, as an error of the configuration; ``more`` follows what is said."""
        row = f"row {wrong.row}" if wrong.row is not None else ""
        line = f"line {wrong.line}" if wrong.line is not None else ""
        at = f"{row} ({line})" if row and line else row or line
        place = ", ".join(part for part in (wrong.file, at) if part)
        out = " is left out" if at and not wrong.ends else ""
        told = f"{self.key} {self.name!r}: {place}{out}: " if place else f"{self.key} {self.name!r}: "
        return DataError(f"{told}{wrong.said}{more}", hint=wrong.hint, key=self.where)


def examine_index(args: Args) -> tuple[list[Named], list[DataError], list[DataError]]:
    """The data sets of a configuration, what of the index ends its run, and what of it is worth a word."""
    named: list[Named] = []
    faults: list[DataError] = []
    notices: list[DataError] = []
    folder = args.get("dataset_dir", "data")
    asked = {key: dataset_names(args.get(key)) for key in KEYS}
    if not any(asked.values()) or not _is_local(folder) or is_tokenized(args.get("tokenized_path")):
        return named, faults, notices
    index = Path(folder) / INDEX
    first = next(key for key in KEYS if asked[key])
    try:
        known = _read(index, "dataset_dir" if "dataset_dir" in args else first)
    except DataError as error:
        return named, [error], notices
    for key in KEYS:
        for place, name in enumerate(asked[key]):
            where: tuple[str | int, ...] = (key, place) if isinstance(args.get(key), list) else (key,)
            if name not in known:
                hint = did_you_mean(name, known)
                faults.append(DataError(f"{key} {name!r} is not in {index}", hint=hint, key=where))
                continue
            one, wrong = _examine(Named(key=key, name=name, where=where), known[name], args, Path(folder))
            named.append(one)
            for each in wrong:
                (faults if each.ends else notices).append(one.error(each))
    return named, faults, notices


def _examine(one: Named, plain: Any, args: Args, folder: Path) -> tuple[Named, list[Wrong]]:
    """It with its files, where nothing that ends the run is wrong with its entry."""
    entry, wrong = read_entry(plain)
    if entry is None:
        return one, wrong
    files, of_files = files_of(folder / entry.file_name)
    wrong += of_files
    if (misplaced := _not_of_stage(entry, args.get("stage", "sft"))) is not None:
        return replace(one, misplaced=misplaced), wrong
    if any(each.ends for each in wrong):
        return one, wrong
    return replace(one, entry=entry, files=files), wrong


def _not_of_stage(entry: Entry, stage: Any) -> Wrong | None:
    takes = Use.of(stage, None, Path()).processor == PREFERENCES
    if takes and entry.ranking is False:
        said = f"it is no ranking data, which stage {stage} trains on"
        return Wrong(
            kind="stage", said=said, hint="set ranking: true in its entry, with chosen and rejected in columns"
        )
    if not takes and entry.ranking is True:
        said = f"it is ranking data, which stage {stage} does not train on"
        return Wrong(kind="stage", said=said, hint="use stage dpo or rm for it, or take it out")
    return None


def _read(index: Path, key: str) -> dict[str, Any]:
    try:
        known = json_of(index.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "point dataset_dir at the folder that holds it"
        raise DataError(f"{index} does not exist", hint=hint, key=[key]) from error
    except json.JSONDecodeError as error:
        said = f"{index}, line {error.lineno}: it is no JSON at column {error.colno}: {error.msg}"
        raise DataError(said, hint="mend the file", key=[key]) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{index} cannot be read: {error}", hint="mend the file", key=[key]) from error
    if not isinstance(known, dict):
        raise DataError(f"{index} holds no object", hint='write {"NAME": {"file_name": ...}}', key=[key])
    return known


def _is_local(folder: Any) -> bool:
    return isinstance(folder, str) and folder != "ONLINE" and not folder.startswith("REMOTE:")


def is_tokenized(path: Any) -> bool:
    """Whether token ids are read instead of rows: LLaMA-Factory takes any folder that is not empty for them."""
    return bool(path) and Path(str(path)).is_dir() and any(Path(str(path)).iterdir())


def index_faults(args: Args) -> Iterator[DataError]:
    """What of the index ends any run."""
    yield from examine_index(args)[1]


def stage_faults(args: Args) -> Iterator[DataError]:
    """Preference data where the stage takes none, and the other way round."""
    for one in examine_index(args)[0]:
        if one.misplaced is not None:
            yield one.error(one.misplaced)
