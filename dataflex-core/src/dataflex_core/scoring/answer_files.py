"""Files of stored answers: written by one process each, appended to and never rewritten, read by anybody meanwhile.

A file says in its head what its answers are answers to; after that come blocks, each with the keys of some samples,
how many values each has, and the values. Whatever moment a writer is killed at, the blocks before it are whole: a
checksum tells. This module knows bytes and numpy, and nothing of models, samples or runs.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

try:
    import fcntl
except ImportError:  # where the system has no such locks a file that is being written looks torn, and is said to be
    fcntl = None  # type: ignore[assignment]  # the module, or none

SUFFIX = ".answers"
KEY = np.dtype("S16")
"""A sample's key: 16 bytes that its content alone decides."""

_MAGIC = b"dfanswer"
_FORMAT = 1
_HEAD = struct.Struct("<8sII")  # magic, bytes of JSON, their checksum
_BLOCK = struct.Struct("<4sIQIII")  # magic, samples, bytes of values, checksums of index, values, and these
_BLOCK_MAGIC = b"blck"
_ALIGNED = 16

Description = Mapping[str, Any]
"""What answers are answers to, as JSON values: files of equal ones belong together."""


class Foreign(Exception):
    """A file that is no file of answers, or of another format."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Where the answers of some samples are in a file.

    ``keys`` S16[n]; ``starts`` Int64[n + 1], the first value of each sample, counted from the block's own; ``offset``
    is the byte of that. ``checksum`` is the values'.
    """

    keys: NDArray[np.bytes_]
    starts: NDArray[np.int64]
    offset: int
    checksum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What a file says of itself: ``about`` is for people alone. Blocks begin at byte ``size``."""

    description: Description
    about: Description
    dtype: np.dtype[Any]
    size: int


def read_head(path: Path) -> Head:
    """Raises `Foreign`, and OSError where the file cannot be read."""
    with path.open("rb") as file:
        return _read_head(file)


def read_blocks(path: Path, offset: int) -> tuple[list[Block], int]:
    """The whole blocks from byte ``offset`` on, and where the last one ends. Values are not read.

    Raises OSError where the file cannot be read.
    """
    found = []
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while (block := _read_block(file, offset, size)) is not None:
            made, offset = block
            found.append(made)
    return found, offset


def is_being_written(path: Path) -> bool:
    """Whether a process that lives still holds the file as its own."""
    if fcntl is None:
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class AnswerWriter:
    """A new file of answers, this process's alone until it ends.

    Raises OSError, as `append` does, where the file cannot be written.
    """

    def __init__(self, folder: Path, description: Description, about: Description, dtype: np.dtype[Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{uuid4().hex}{SUFFIX}"
        head = {"format": _FORMAT, "description": description, "about": about, "dtype": dtype.name}
        text = json.dumps(head, sort_keys=True).encode()
        self._file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o666)
        if fcntl is not None:
            with suppress(OSError):  # a file system may have no locks
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._dtype = dtype
        self._end = 0
        self._write(_padded(_HEAD.pack(_MAGIC, len(text), zlib.crc32(text)) + text))

    def append(self, keys: NDArray[np.bytes_], lengths: NDArray[np.int64], values: NDArray[Any]) -> Block:
        """Add the answers of samples S16[n]: ``lengths`` Int64[n] of the values each, one sample after the other."""
        data = np.ascontiguousarray(values, dtype=self._dtype).tobytes()
        index = keys.astype(KEY).tobytes() + lengths.astype("<u4").tobytes()
        sums = (zlib.crc32(index), zlib.crc32(data))
        fields = (_BLOCK_MAGIC, len(keys), len(data), *sums)
        front = _padded(_padded(_BLOCK.pack(*fields, _checksum(fields))) + index)
        offset = self._end + len(front)
        self._write(front + _padded(data))
        return Block(keys=keys.astype(KEY), starts=_starts(lengths), offset=offset, checksum=sums[1])

    def _write(self, data: bytes) -> None:
        """All of ``data``, or none."""
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            os.ftruncate(self._file, self._end)
            raise
        self._end += len(data)

    def close(self) -> None:
        """The file is nobody's any more."""
        os.close(self._file)


def is_whole(block: Block, values: NDArray[Any]) -> bool:
    """Whether ``values`` are those that were written."""
    return zlib.crc32(values.tobytes()) == block.checksum


def _read_head(file: IO[bytes]) -> Head:
    start = file.read(_HEAD.size)
    if len(start) < _HEAD.size:
        raise Foreign("is too short")
    magic, length, checksum = _HEAD.unpack(start)
    if magic != _MAGIC:
        raise Foreign("is no file of stored answers")
    text = file.read(length)
    if zlib.crc32(text) != checksum:
        raise Foreign("has a torn head")
    head = json.loads(text)
    if head.get("format") != _FORMAT:
        raise Foreign(f"is of format {head.get('format')}, this version reads {_FORMAT}")
    return Head(
        description=head["description"],
        about=head["about"],
        dtype=np.dtype(head["dtype"]),
        size=_rounded(_HEAD.size + length),
    )


def _read_block(file: IO[bytes], offset: int, size: int) -> tuple[Block, int] | None:
    """The block at byte ``offset`` of a file of ``size``, and where it ends; None where there is no whole one."""
    file.seek(offset)
    start = file.read(_BLOCK.size)
    if len(start) < _BLOCK.size:
        return None
    *fields, checksum = _BLOCK.unpack(start)
    if fields[0] != _BLOCK_MAGIC or _checksum(tuple(fields)) != checksum:
        return None
    _, samples, count, index_sum, values_sum = fields
    first = offset + _rounded(_BLOCK.size)
    file.seek(first)
    index = file.read(samples * (KEY.itemsize + 4))
    if len(index) < samples * (KEY.itemsize + 4) or zlib.crc32(index) != index_sum:
        return None
    keys = np.frombuffer(index, dtype=KEY, count=samples)
    starts = _starts(np.frombuffer(index, dtype="<u4", offset=samples * KEY.itemsize).astype(np.int64))
    values = first + _rounded(len(index))
    end = values + _rounded(count)
    return (Block(keys=keys, starts=starts, offset=values, checksum=values_sum), end) if end <= size else None


def _starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def _checksum(fields: tuple[Any, ...]) -> int:
    return zlib.crc32(repr(fields).encode())


def _rounded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED


def _padded(data: bytes) -> bytes:
    return data + bytes(_rounded(len(data)) - len(data))
