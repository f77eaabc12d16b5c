"""What is known of tokenised samples, kept beside the folder that LLaMA-Factory saves them in, which stays as it is.

``PATH.rows/train.arrow`` is of the training set in ``PATH``, ``eval-0.arrow`` of the first evaluation set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dataflex_core.errors import DataError
from dataflex_core.journal.facts import RowsFact
from dataflex_core.llamafactory.traced import Traced, Wanted, column_of
from dataflex_core.rows import Origins, Source

_HINT = "point tokenized_path at a folder that does not exist yet"


def file_of(tokenized: Path, which: str) -> Path:
    """Where what is known of one data set of a folder is kept: ``which`` is ``train``, or ``eval-0`` and so on."""
    return Path(f"{tokenized}.rows") / f"{which}.arrow"


def write(path: Path, traced: Traced, dataset: Any, wanted: Wanted) -> None:
    """Keep what is known of ``dataset``, which LLaMA-Factory has just saved."""
    origins = traced.origins
    table = {"rows": pa.ListArray.from_arrays(pa.array(origins.starts, pa.int32()), pa.array(origins.rows, pa.int64()))}
    if traced.domains is not None:
        table["domain"] = pa.array(traced.domains.tolist(), pa.string())
    table |= {f"column {name}": pa.array(values.tolist()) for name, values in traced.columns.items()}
    known = {
        "of": _identity(path, dataset),
        "domain_column": wanted.domain_column,
        "sources": [
            {
                "dataset": source.dataset,
                "files": source.files,
                "size": source.size,
                "counts": source.counted(),
                "places": None if source.places is None else source.places.tolist(),
            }
            for source in origins.sources
        ],
        "dropped": {name: asdict(fact) for name, fact in traced.dropped.items()},
        "cut": {name: asdict(fact) for name, fact in traced.cut.items()},
    }
    made = pa.table(table).replace_schema_metadata({"dataflex": json.dumps(known)})
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.ipc.new_file(path, made.schema) as file:
        file.write_table(made)


def read(path: Path, dataset: Any, wanted: Wanted) -> Traced | None:
    """What is known of ``dataset``, which was loaded from a folder; None where nobody kept it, or of another.

    Raises `DataError` where something is wanted that was not kept.
    """
    table = _table(path)
    known = {} if table is None else json.loads(table.schema.metadata[b"dataflex"])
    if table is None or known.get("of") != _identity(path, dataset):
        if wanted.names:
            raise DataError(f"{_folder(path)} holds tokenised samples without the column {wanted.names[0]}", hint=_HINT)
        return None
    kept = {name.removeprefix("column "): name for name in table.column_names if name.startswith("column ")}
    if lacking := [name for name in wanted.columns if name not in kept]:
        raise DataError(f"{_folder(path)} was saved without the column {lacking[0]}", hint=_HINT)
    if wanted.domain_column not in (None, known["domain_column"]):
        raise DataError(f"{_folder(path)} was saved without domains by {wanted.domain_column}", hint=_HINT)
    lists = table["rows"].combine_chunks()
    counts = np.asarray(lists.value_lengths().to_numpy(zero_copy_only=False), dtype=np.int64)
    return Traced(
        origins=Origins(
            sources=tuple(_source(source) for source in known["sources"]),
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            rows=np.asarray(lists.flatten().to_numpy(zero_copy_only=False), dtype=np.int64),
        ),
        columns={name: column_of(table[kept[name]]) for name in wanted.columns},
        domains=column_of(table["domain"]) if wanted.domain_column is not None else None,
        dropped=_facts(known["dropped"]),
        cut=_facts(known["cut"]),
    )


def _table(path: Path) -> pa.Table | None:
    if not path.is_file():
        return None
    with pa.ipc.open_file(path) as file:
        return file.read_all()


def _folder(path: Path) -> str:
    return str(path.parent).removesuffix(".rows")


def _identity(path: Path, dataset: Any) -> list[Any]:
    """By which saved data is known again: how many samples, and how `datasets` describes what lies in the folder."""
    digest = sha256()
    for state in sorted(Path(_folder(path)).rglob("state.json")):
        digest.update(state.read_bytes())
    return [len(dataset), digest.hexdigest()]


def _source(kept: Mapping[str, Any]) -> Source:
    return Source(
        dataset=kept["dataset"],
        files=tuple(kept["files"]),
        size=kept["size"],
        count=partial(_nobody, kept["dataset"]),
        places=None if kept["places"] is None else np.array(kept["places"], dtype=np.int64),
        counts=tuple(kept["counts"]),
    )


def _nobody(dataset: str, file: str) -> int:
    raise AssertionError(f"the rows of {file} of {dataset} were counted as they were kept")


def _facts(kept: Mapping[str, Any]) -> dict[str, RowsFact]:
    return {name: RowsFact(**fact) for name, fact in kept.items()}
