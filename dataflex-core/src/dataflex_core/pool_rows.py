"""The rows of the samples of a run's pool: a file of scores without scores, ``output_dir/dataflex/rows/RUN.parquet``.

numpy and pyarrow are imported when they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dataflex_core.domains import Domain, domain_of
from dataflex_core.rows import Origins
from dataflex_core.score_file import PLACE, About, write_tables


def rows_file(folder: Path, run: str) -> Path:
    """Where they are in the ``dataflex`` folder of a run's output."""
    return folder / "rows" / f"{run}.parquet"


def write_rows(path: Path, about: About, domains: Sequence[Domain], origins: Origins) -> None:
    """Write them, whole or not at all. Raises OSError where they cannot be written."""
    import numpy as np
    import pyarrow as pa

    names, which, numbers = origins.located()
    of = np.repeat(np.arange(len(origins)), np.diff(origins.starts))
    known = which >= 0
    place = pa.array(which, mask=~known)
    places = (
        pa.array([dataset for dataset, _ in names], pa.string()).take(place),
        pa.array([file for _, file in names], pa.string()).take(place),
        pa.array(numbers, mask=~known),
    )
    columns = {
        "id": pa.array(of),
        "domain": pa.array([domain.name for domain in domains], pa.string()).take(pa.array(domain_of(domains, of))),
        **dict(zip(PLACE, places, strict=True)),
    }
    write_tables(path, about, [pa.table(columns)])
