"""Answers that do not change, computed once a sample: those of a model that does not train, kept by content.

A store is a folder of shelves, one for each question: which model, by its digest, was asked what, by which code. A
shelf is a folder of files, each one process's own, so that any number of runs and ranks use it at once. What is found
is used wherever it comes from; what is torn or of others is told once, and left alone. A store that cannot be written
is a store in memory: it costs the next run its answers, and this one nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflex_core.scoring.answer_files import (
    KEY,
    SUFFIX,
    AnswerWriter,
    Block,
    Description,
    Foreign,
    is_being_written,
    is_whole,
    read_blocks,
    read_head,
)
from dataflex_core.wording import first_line

Keys = NDArray[np.bytes_]
_TAIL = 4096  # keys that are looked up one by one before they are sorted in


class Store:
    """The shelves of a folder, or of this process's memory where ``folder`` is None. ``notice`` tells the user."""

    def __init__(self, folder: Path | None, notice: Callable[[str], None]) -> None:
        self.folder = folder
        self._notice = notice
        self._shelves: dict[str, Shelf] = {}

    def shelf(self, description: Description, *, about: Description, dtype: str = "float32") -> Shelf:
        """The answers to one question, in numbers of ``dtype``; ``about`` tells people what it was."""
        described = {**description, "dtype": dtype}
        name = name_of(described)
        if name not in self._shelves:
            folder = None if self.folder is None else self.folder / name
            self._shelves[name] = Shelf(name, folder, described, about, np.dtype(dtype), self._notice)
        return self._shelves[name]


def name_of(description: Description) -> str:
    """The name of a shelf's folder."""
    return hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16).hexdigest()


class Shelf:
    """The answers to one question. ``refresh`` finds those that other processes have added since."""

    def __init__(
        self,
        name: str,
        folder: Path | None,
        description: Description,
        about: Description,
        dtype: np.dtype[Any],
        notice: Callable[[str], None],
    ) -> None:
        self.name = name
        """What the question is known by."""
        self.dtype = dtype
        self._folder, self._description, self._about, self._notice = folder, description, about, notice
        self._index = _Index()
        self._blocks: list[_Source] = []
        self._first = np.zeros(16, dtype=np.int64)  # the number of each block's first row, and room for more
        self._rows = 0
        self._read_to: dict[Path, int] = {}
        self._told: set[Path] = set()
        self._writer: AnswerWriter | None = None
        self._maps: dict[Path, NDArray[Any]] = {}

    def __len__(self) -> int:
        """How many samples have an answer, as far as is known here."""
        return len(self._index)

    def refresh(self) -> None:
        """Look for what was added to the folder, by whomever. Torn and foreign files are told, once each."""
        if self._folder is None:
            return
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path not in self._told and (self._writer is None or path != self._writer.path):
                self._look_into(path)

    def find(self, keys: Keys) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[Any]]:
        """Which of ``keys`` S16[n] have an answer, Bool[n]; of those the lengths, Int64[k], and the values in a row."""
        rows = self._index.find(keys)
        blocks = np.searchsorted(self._first[: len(self._blocks)], rows, side="right") - 1
        for number in np.unique(blocks[rows >= 0]).tolist():
            if not self._is_sound(self._blocks[number]):
                rows[blocks == number] = -1
        known = rows >= 0
        rows, blocks = rows[known], blocks[known]
        touched = np.unique(blocks).tolist()
        lengths = np.zeros(len(rows), dtype=np.int64)
        for number in touched:
            starts, here = self._blocks[number].block.starts, blocks == number
            lengths[here] = np.diff(starts)[rows[here] - self._first[number]]
        values = np.zeros(int(lengths.sum()), dtype=self.dtype)
        begins = np.cumsum(lengths) - lengths
        for number in touched:
            source, here = self._blocks[number], blocks == number
            taken = source.block.starts[rows[here] - self._first[number]]
            values[_runs(begins[here], lengths[here])] = self._values_of(source)[_runs(taken, lengths[here])]
        return known, lengths, values

    def add(self, keys: Keys, lengths: NDArray[np.int64], values: NDArray[Any]) -> None:
        """Keep the answers of samples S16[n]: ``lengths`` Int64[n] of the values each, one sample after the other."""
        if not len(keys):
            return
        values = np.ascontiguousarray(values, dtype=self.dtype)
        block = self._written(keys, lengths, values)
        if block is not None and self._writer is not None:
            self._take(_Source(block, self._writer.path))
        else:
            starts = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
            self._take(_Source(Block(keys=keys.astype(KEY), starts=starts, offset=0, checksum=0), None, values))

    def _written(self, keys: Keys, lengths: NDArray[np.int64], values: NDArray[Any]) -> Block | None:
        if self._folder is None:
            return None
        try:
            if self._writer is None:
                self._writer = AnswerWriter(self._folder, self._description, self._about, self.dtype)
            return self._writer.append(keys, lengths, values)
        except OSError as error:
            why = error.strerror or str(error)
            self._notice(f"the store {self._folder.parent} cannot be written ({why}): answers are kept in memory")
            self._folder = None
            return None

    def _look_into(self, path: Path) -> None:
        try:
            if path not in self._read_to:
                head = read_head(path)
                if head.description != self._description:
                    raise Foreign("holds answers to another question")
                self._read_to[path] = head.size
            if path.stat().st_size == self._read_to[path]:
                return
            blocks, self._read_to[path] = read_blocks(path, self._read_to[path])
            for block in blocks:
                self._take(_Source(block, path))
            # A writer that lives is merely not done with its last block.
            if path.stat().st_size > self._read_to[path] and not is_being_written(path):
                self._tell(path, "ends in a torn block; what is before it is used")
        except Foreign as wrong:
            if not is_being_written(path):
                self._tell(path, str(wrong))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if path.exists():
                self._tell(path, f"cannot be read ({first_line(error)})")

    def _tell(self, path: Path, wrong: str) -> None:
        if path not in self._told:
            self._told.add(path)
            self._notice(f"{path} {wrong}: it is left alone")

    def _take(self, source: _Source) -> None:
        """Index a block, but for keys that have an answer already."""
        if len(self._blocks) == len(self._first):
            self._first = np.resize(self._first, 2 * len(self._first))
        self._first[len(self._blocks)] = self._rows
        self._blocks.append(source)
        keys = source.block.keys
        self._index.add(keys, np.arange(self._rows, self._rows + len(keys)))
        self._rows += len(keys)

    def _is_sound(self, source: _Source) -> bool:
        """Whether a block's values are those that were written: looked at once, when they are first asked for."""
        if source.is_sound is None:
            try:
                source.is_sound = is_whole(source.block, self._values_of(source))
            except (OSError, ValueError):
                source.is_sound = False  # the file is gone, or shorter
            if not source.is_sound:
                self._index.drop(source.block.keys)
                if source.path is not None and source.path.exists():
                    self._tell(source.path, "has a block that was changed")
        return source.is_sound

    def _values_of(self, source: _Source) -> NDArray[Any]:
        if source.values is not None:
            return source.values
        assert source.path is not None, "values are in a file, or here"
        block = source.block
        end = block.offset + int(block.starts[-1]) * self.dtype.itemsize
        mapped = self._maps.get(source.path)
        if mapped is None or len(mapped) < end:
            mapped = self._maps[source.path] = np.memmap(source.path, dtype=np.uint8, mode="r")
        return mapped[block.offset : end].view(self.dtype)


class _Source:
    """A block, and where its values are: in the file ``path``, or in memory."""

    __slots__ = ("block", "is_sound", "path", "values")

    def __init__(self, block: Block, path: Path | None, values: NDArray[Any] | None = None) -> None:
        self.block, self.path, self.values = block, path, values
        self.is_sound: bool | None = None if values is None else True


class _Index:
    """The row of each key, the first where it was added twice. Adding costs what is added, over many times."""

    def __init__(self) -> None:
        self._keys = np.zeros(0, dtype=KEY)
        self._at = np.zeros(0, dtype=np.int64)
        self._tail: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._tail)

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """The rows of ``keys`` S16[n], Int64[n]; -1 where one was never added."""
        rows = np.full(len(keys), -1, dtype=np.int64)
        if len(self._keys):
            places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            hit = self._keys[places] == keys
            rows[hit] = self._at[places[hit]]
        if self._tail:
            for place in np.flatnonzero(rows < 0).tolist():
                rows[place] = self._tail.get(bytes(keys[place]), -1)
        return rows

    def add(self, keys: Keys, rows: NDArray[np.int64]) -> None:
        """Add ``keys`` S16[n] with their ``rows`` Int64[n]."""
        new = self.find(keys) < 0
        for key, row in zip(keys[new].tolist(), rows[new].tolist(), strict=True):
            self._tail.setdefault(key, row)
        if len(self._tail) > max(_TAIL, len(self._keys) // 4):
            every = np.concatenate([self._keys, np.array(list(self._tail), dtype=KEY)])
            at = np.concatenate([self._at, np.fromiter(self._tail.values(), dtype=np.int64)])
            order = np.argsort(every, kind="stable")
            self._keys, self._at = every[order], at[order]
            self._tail.clear()

    def drop(self, keys: Keys) -> None:
        """Forget ``keys`` S16[n]; costs all there are."""
        left = ~np.isin(self._keys, keys)
        self._keys, self._at = self._keys[left], self._at[left]
        for key in keys.tolist():
            self._tail.pop(key, None)


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The indices of runs of ``lengths`` Int64[k] that begin at ``starts`` Int64[k], one after the other."""
    ends = np.cumsum(lengths)
    indices: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(starts - (ends - lengths), lengths)
    return indices
