"""LLaMA-Factory's tokenising steps, each made to say of every sample which rows went into it.

Imports nothing of it: `datasets` pickles these for its workers, and takes their digest for the key of its cache, which
is therefore the same on all ranks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

ROW, GROUP = "dataflex_row", "dataflex_group"
"""Columns of what a processor is given: a row, and which rows it may be packed with."""
ROWS, CUT = "dataflex_rows", "dataflex_cut"
"""Columns of what it makes: a sample's rows, and, for each of them, 1 where it was cut and 0 where not.

Lists without a value would have a type without one, and not fit those of another worker.
"""

Examples = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class RowsKept:
    """A processor that adds `ROWS` and `CUT` to what ``inner`` makes of rows with `ROW`, and maybe `GROUP`."""

    inner: Any

    def preprocess_dataset(self, examples: Mapping[str, list[Any]]) -> Examples:
        """What ``inner`` makes of a batch of rows: of each group by itself, where there are groups."""
        given = {key: examples[key] for key in examples}
        rows, groups = given.pop(ROW), given.pop(GROUP, None)
        trace, made = TRACERS[type(self.inner).__name__], defaultdict[str, list[Any]](list)
        order = range(len(rows)) if groups is None else sorted(range(len(rows)), key=groups.__getitem__)
        for _, part in groupby(order, key=lambda i: None if groups is None else groups[i]):
            places = list(part)
            taken = {key: [values[i] for i in places] for key, values in given.items()}
            for key, values in trace(self.inner, taken, [rows[i] for i in places]).items():
                made[key].extend(values)
        return dict(made)

    def print_data_example(self, example: dict[str, list[int]]) -> None:
        """As ``inner`` does."""
        self.inner.print_data_example(example)


def one_by_one(inner: Any, examples: Examples, rows: list[int]) -> Examples:
    """Of a processor that makes one sample of each row, or none."""
    apart = type(inner).__name__ == "UnsupervisedDatasetProcessor"  # labels follow what is given, and are not in it
    template = _Measuring(inner.template)
    watched, made = replace(inner, template=template), defaultdict[str, list[Any]](list)
    for i, row in enumerate(rows):
        sample = watched.preprocess_dataset({key: [values[i]] for key, values in examples.items()})
        count = len(sample["input_ids"]) if "input_ids" in sample else 0
        if count == 0:
            continue
        for key, values in sample.items():
            made[key].extend(values)
        made[ROWS].extend([[row]] * count)
        length = len(sample["input_ids"][0]) + (len(sample["labels"][0]) if apart else 0)
        made[CUT].extend([[int(template.is_cut(length))]] * count)
    return made


def one_by_one_joined(inner: Any, examples: Examples, rows: list[int]) -> Examples:
    """Of a processor that packs the samples of rows: the first token of each carries its row into the pack."""
    template = _Measuring(inner.template)
    watched = replace(inner, template=template)
    encode, place = watched._encode_data_example, {id(prompt): i for i, prompt in enumerate(examples["_prompt"])}

    def marking(**given: Any) -> tuple[list[int], list[int]]:
        ids, labels = encode(**given)
        if ids:
            ids[0] = _Marked.of(ids[0], rows[place[id(given["prompt"])]], template.is_cut(len(ids)))
        return ids, labels

    watched._encode_data_example = marking
    made: Examples = {key: list(values) for key, values in watched.preprocess_dataset(examples).items()}
    for ids in made.get("input_ids", []):
        marks = [(i, token) for i, token in enumerate(ids) if type(token) is _Marked]
        for i, token in marks:
            ids[i] = int(token)
        made.setdefault(ROWS, []).append([token.row for _, token in marks])
        made.setdefault(CUT, []).append([int(token.cut) for _, token in marks])
    return made


def by_length(inner: Any, examples: Examples, rows: list[int]) -> Examples:
    """Of the processor of plain text: each row a sample, or all rows as one text that is cut into blocks."""
    tokenizer = _Counting(inner.tokenizer)
    result = replace(inner, tokenizer=tokenizer).preprocess_dataset(examples)
    made: Examples = {key: list(result[key]) for key in result}
    if not inner.data_args.packing:
        made[ROWS] = [[row] for row in rows]
        made[CUT] = [[int(cut)] for cut in tokenizer.cut]
        return made
    ends = np.cumsum(tokenizer.lengths)
    stops = np.cumsum([len(ids) for ids in made["input_ids"]], dtype=np.int64)
    first = np.searchsorted(ends, np.concatenate([[0], stops[:-1]]) if len(stops) else stops, side="right")
    last = np.searchsorted(ends, stops - 1, side="right")
    made[ROWS] = [rows[start : stop + 1] for start, stop in zip(first.tolist(), last.tolist(), strict=True)]
    made[CUT] = [[0] * len(block) for block in made[ROWS]]
    return made


TRACERS: Mapping[str, Callable[[Any, Examples, list[int]], Examples]] = {
    "SupervisedDatasetProcessor": one_by_one,
    "UnsupervisedDatasetProcessor": one_by_one,
    "PackedSupervisedDatasetProcessor": one_by_one_joined,
    "PretrainDatasetProcessor": by_length,
}
"""How the rows of a processor's samples are known, by the name of its class."""


class _Measuring:
    """A template that remembers how many tokens it last made of a row."""

    def __init__(self, template: Any) -> None:
        self._template = template
        self._whole = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._template, name)

    def encode_multiturn(self, *args: Any, **kwargs: Any) -> Any:
        turns = self._template.encode_multiturn(*args, **kwargs)
        self._whole = sum(len(question) + len(answer) for question, answer in turns)
        return turns

    def encode_oneturn(self, *args: Any, **kwargs: Any) -> Any:
        question, answer = self._template.encode_oneturn(*args, **kwargs)
        self._whole = len(question) + len(answer)
        return question, answer

    def is_cut(self, length: int) -> bool:
        """Whether a sample of ``length`` tokens lacks some of them; the end token that some templates add is none."""
        return length - bool(self._template.efficient_eos) < self._whole


class _Counting:
    """A tokenizer that remembers the lengths of what it was last given, and what it cut, where it says so."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.lengths: list[int] = []
        self.cut: list[bool] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        encoded = self._tokenizer(*args, **kwargs)
        self.lengths = [len(ids) for ids in encoded["input_ids"]]
        parts = getattr(encoded, "encodings", None) or [None] * len(self.lengths)
        self.cut = [bool(getattr(part, "overflowing", None)) for part in parts]
        return encoded


class _Marked(int):
    """A token that knows its row."""

    row: int
    cut: bool

    @classmethod
    def of(cls, token: int, row: int, cut: bool) -> _Marked:
        made = cls(token)
        made.row, made.cut = row, cut
        return made
