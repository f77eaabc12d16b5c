"""Why LLaMA-Factory makes no sample of a row: it is given the row again, alone, and listened to."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

# Where it is not 0, LLaMA-Factory says nothing of rows.
_LOCAL_RANK = "LOCAL_RANK"
_SAID = (
    # What it says, without the data that follows.
    (re.compile(r"(Invalid (?:role tag|message count)) in "), r"\1"),
    (re.compile(r"(Dropped lengthy example with length .*?)\.?$"), r"\1"),
)

_UNFILLED = "it is among the last tokens of a group of rows, which do not fill a block of"
_UNANSWERED = "Dropped invalid example: it has no answer"


def reason(convert: Callable[[Any], Mapping[str, Any]], processor: Any, example: Mapping[str, Any]) -> str:
    """In LLaMA-Factory's own words, where it has some, else what is seen in the row."""
    with _heard() as said:
        aligned = convert(dict(example))
        processor.preprocess_dataset({key: [value] for key, value in aligned.items()})
    for text in said:
        for pattern, words in _SAID:
            if found := pattern.match(text):
                return found.expand(words)
    if type(processor).__name__ == "PretrainDatasetProcessor":
        limit = processor.data_args.cutoff_len
        return f"{_UNFILLED} {limit}"
    if not aligned["_response"]:
        return _UNANSWERED
    return "Dropped invalid example: its turns do not end with a question and an answer"


def remedy(why: str) -> str:
    """What to do where every row is left out, the first of them for the reason ``why``; "" where it is not known."""
    if why.startswith(_UNANSWERED):
        return "name the column of the answers as response in columns of dataset_info.json"
    if why.startswith("Dropped lengthy"):
        return "raise cutoff_len"
    if why.startswith(_UNFILLED):
        return "lower cutoff_len, set packing: false, or add rows"
    if why:
        return "mend the turns of the rows, or columns and tags in dataset_info.json"
    return "lower cutoff_len, set packing: false, or check the columns in dataset_info.json"


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What LLaMA-Factory logs in the meantime, on any rank and however little it is to log, and nobody else sees."""
    said: list[str] = []
    logger = logging.getLogger("llamafactory")
    handlers, level, rank = logger.handlers, logger.level, os.environ.pop(_LOCAL_RANK, None)
    logger.handlers = [_Ear(said)]
    logger.setLevel(logging.WARNING)
    try:
        yield said
    finally:
        logger.handlers = handlers
        logger.setLevel(level)
        if rank is not None:
            os.environ[_LOCAL_RANK] = rank


class _Ear(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
