"""Samples that are kept out of training: a share of each domain, drawn by what the samples hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.config.section import SECTION
from dataflex_core.domains import Domain
from dataflex_core.errors import DataError
from dataflex_core.llamafactory.data import LoadedData
from dataflex_core.scoring.sample_keys import keys_of

_NUMBERS = ("input_ids", "labels")


def held_out(loaded: LoadedData, share: float | None) -> LoadedData:
    """The data without about ``share`` of each domain's training samples, which are its ``holdout`` then.

    As it is for None, and without training samples, of which whoever reckons the run says so.

    A sample is kept out by a digest of its token ids and labels alone: neither a domain nor a row that is added moves
    another one, nor does the seed, and samples that are alike stay together. Raises `DataError` for a domain of which
    none is kept out, or none is left.
    """
    train, rows, domains = loaded.module.get("train_dataset"), loaded.rows, list[Domain]()
    if share is None or train is None:
        return loaded
    places = places_of(train)
    out = places < share
    holdout, holdout_rows = {}, {}
    for domain in loaded.domains:
        mine = np.arange(domain.start, domain.start + domain.size)
        drawn = mine[out[mine]]
        _check(domain, places[mine], share)
        holdout[domain.name] = train.select(drawn)
        holdout_rows[domain.name] = None if rows is None else rows.select(drawn)
        start = sum(before.size for before in domains)
        domains.append(Domain(name=domain.name, start=start, size=domain.size - len(drawn)))
    kept = np.flatnonzero(~out)
    return replace(
        loaded,
        module={**loaded.module, "train_dataset": train.select(kept)},
        domains=tuple(domains),
        rows=None if rows is None else rows.select(kept),
        holdout=holdout,
        holdout_rows=holdout_rows,
    )


def places_of(dataset: Any) -> NDArray[np.float64]:
    """Where each sample lies between 0 and 1, Float64[N]: a digest of its numbers, evenly spread."""
    numbers = dataset.select_columns([name for name in _NUMBERS if name in dataset.column_names])
    keys, _ = keys_of(numbers, np.arange(len(numbers), dtype=np.int64))
    digests = np.frombuffer(keys.tobytes(), dtype=">u8").reshape(len(keys), -1)
    places: NDArray[np.float64] = digests[:, 0] / 2.0**64
    return places


def _check(domain: Domain, places: NDArray[np.float64], share: float) -> None:
    out = int((places < share).sum())
    if 0 < out < domain.size:
        return
    if out:
        said, hint = f"would keep all {domain.size} samples of {domain.name} out of training", "lower it"
    else:
        said = f"would keep none of the {domain.size} samples of {domain.name} out of training"
        hint = f"set it above {_rounded_up(places)}" if len(places) else f"leave {domain.name} out"
    raise DataError(f"{SECTION}.holdout: {share:g} {said}", hint=hint, key=(SECTION, "holdout"))


def _rounded_up(places: Sequence[float] | NDArray[np.float64]) -> float:
    """The least share, in whole hundredths, that keeps a sample out."""
    return float(np.ceil(100 * np.min(places)) / 100)
