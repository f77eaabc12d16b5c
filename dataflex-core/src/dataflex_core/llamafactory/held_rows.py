"""The rows that ``val_size`` holds out of training: those that LLaMA-Factory draws, of all data sets together.

It draws before anything is tokenised. So where data sets are loaded one by one all of them are read once before, to
draw and to make the evaluation set; then each is loaded without the rows of it that were drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from datasets import Dataset
from numpy.typing import NDArray

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.datasets.index import is_tokenized
from dataflex_core.llamafactory.loading import Known, Load, Loading, load_known, narrowed
from dataflex_core.llamafactory.swapped import swapped

Ids = NDArray[np.int64]

VALIDATION = "validation"
"""What the evaluation set is called."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """``known`` is the evaluation set, None where there is none, and ``drawn`` what of each data set went into it.

    That is the places of rows Int64[n], by the data set's name, of those that are still to be loaded without them.
    """

    known: Known | None = None
    drawn: Mapping[str, Ids] = field(default_factory=dict)

    def without(self, load: Load, name: str) -> Load:
        """Load the data set ``name``, and nothing that is held out."""
        return load if name not in self.drawn else _without(load, self.drawn[name])


def hold_out(load: Load, data_args: Any, parts: Mapping[str, Any], how: Loading) -> HeldOut:
    """Draw, and make the evaluation set; ``parts`` are the data arguments of each data set alone, by name.

    What a run before has tokenised is read, whatever ``val_size`` says now. Raises `DataError` where a data set would
    have no row left, and where one was tokenised with the rows that are to be held out.
    """
    together = narrowed(data_args, VALIDATION, dataset=list(parts), eval_dataset=None, mix_strategy="concat")
    made = [part.tokenized_path for part in parts.values() if is_tokenized(part.tokenized_path)]
    if is_tokenized(together.tokenized_path):
        if len(made) == len(parts):
            return HeldOut(known=load_known(load, together, how))
        together.tokenized_path = None  # it does not say what it was drawn of
    elif data_args.val_size <= 1e-6:
        return HeldOut()
    elif made:
        said = f"{made[0]} was tokenised with the rows that val_size is to hold out"
        raise DataError(said, hint="point tokenized_path at a folder that does not exist yet")
    draw = _Draw(size=data_args.val_size, seed=how.seed)
    state = np.random.get_state()  # LLaMA-Factory draws `num_samples` from it
    try:
        known = load_known(draw.alone(load), together, how)
    except DataError as error:
        hint = "raise val_size, or name an eval_dataset in its place"
        raise DataError(f"of what val_size holds out: {error.message}", hint=hint) from error
    finally:
        np.random.set_state(state)  # and is to draw the same again
    return HeldOut(known=known, drawn=draw.by_data_set(list(parts)))


class _Draw:
    """Which rows are held out: drawn once it is known how many there are."""

    def __init__(self, *, size: float, seed: int) -> None:
        self._size, self._seed = size, seed
        self._sizes: list[int] = []
        self._drawn: Ids = np.zeros(0, dtype=np.int64)

    def alone(self, load: Load) -> Load:
        """Load what is held out, and nothing else."""

        def merge(parts: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
            self._sizes = [len(part) for part in parts]
            return stock(parts, *args, **kwargs)

        def split(rows: Any, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
            # The split that LLaMA-Factory makes, of places.
            places = Dataset.from_dict({"place": np.arange(len(rows))})
            count = int(self._size) if self._size > 1 else self._size
            drawn = places.train_test_split(test_size=count, seed=self._seed)["test"]["place"]
            self._drawn = np.asarray(drawn, dtype=np.int64)
            return {}, {VALIDATION: rows.select(self._drawn)}

        from llamafactory.data import loader

        stock = loader.merge_dataset
        return _with(load, merge_dataset=merge, split_dataset=split)

    def by_data_set(self, names: Sequence[str]) -> dict[str, Ids]:
        """The places of what was drawn in each data set, Int64[n], ascending. Raises `DataError` where it is all."""
        ends, drawn = np.cumsum(self._sizes), np.sort(self._drawn)
        found = {}
        for name, end, size in zip(names, ends, self._sizes, strict=True):
            found[name] = drawn[(drawn >= end - size) & (drawn < end)] - (end - size)
            if len(found[name]) == size:
                said = f"val_size holds out every row of data set {name}: {size} of {size}"
                raise DataError(said, hint="lower val_size, or name an eval_dataset in its place")
        return found


def _without(load: Load, drawn: Ids) -> Load:
    """Load a data set without the rows at the places ``drawn``."""

    def split(rows: Any, *args: Any, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        return {"train": rows.select(np.setdiff1d(np.arange(len(rows)), drawn))}, {}

    return _with(load, split_dataset=split)


def _with(load: Load, **steps: Callable[..., Any]) -> Load:
    def loaded(data_args: Any) -> dict[str, Any]:
        from llamafactory.data import loader

        with swapped(loader, **steps):
            return load(data_args)

    return loaded
