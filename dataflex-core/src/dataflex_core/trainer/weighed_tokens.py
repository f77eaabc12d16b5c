"""The weights of tokens of a few samples: as they lie on the device, and with the texts that they are of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataflex_core.journal.shown import WEIGHED_AT_ONCE
from dataflex_core.journal.texts import Weighed
from dataflex_core.scoring.targets import IGNORE
from dataflex_core.trainer.pieces import numbers_of

Ids = NDArray[np.int64]

BY_TOKEN = "weighed by token"
"""What the last step before a log leaves in the ledger: what `table_of` answers with."""
_TOKENS = 500
"""Of a sample's target tokens so many are kept."""
_TORN = "\N{REPLACEMENT CHARACTER}"


def table_of(ids: torch.Tensor, weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Of a window of samples ``ids`` Int64[B], their ``weights`` Float32[B, T] where ``mask`` has their target tokens.

    Of a few of them, Float32 or Float64[n, 1 + 2T]: the id, the weights, and the mask.
    """
    wide = torch.float32 if ids.device.type == "mps" else torch.float64
    few = (part[:WEIGHED_AT_ONCE].detach().to(wide) for part in (ids[:, None], weights, mask))
    return torch.cat(list(few), dim=1)


def weighed_of(
    step: int, row: NDArray[Any], sample: Mapping[str, Any], decode: Callable[[list[int]], str]
) -> Weighed | None:
    """A row of `table_of` as step ``step`` left it, with the texts of the tokens of its ``sample``.

    Where several are packed in the sample, the row is of one of them. None where no such tokens are in it: a collator
    has made others of them.
    """
    width = (len(row) - 1) // 2
    predicting = np.flatnonzero(row[1 + width :] > 0)
    weights = row[1 + predicting]
    tokens = list(sample["input_ids"])
    labels = np.asarray(sample.get("labels", tokens))
    places, part = 1 + np.flatnonzero(labels[1:] != IGNORE), 0
    if len(places) != len(weights):
        places, part = _packed(places, sample.get("position_ids"), 1 + predicting)
    if not len(places):
        return None
    some = places[:_TOKENS]
    texts = token_texts(tokens[: some[-1] + 1], decode)
    return Weighed(
        step=step,
        sample=int(row[0]),
        tokens=tuple(texts[place] for place in some),
        weights=tuple(round(float(weight), 4) for weight in weights[:_TOKENS]),
        left_out=len(places) - len(some),
        part=part,
    )


def _packed(places: Ids, positions: Any, own: Ids) -> tuple[Ids, int]:
    """The ``places`` of target tokens in a sample that lie at ``own``, and of which of those packed in it, from 1.

    None of them where these are not all that one of the packed has: its ``positions`` say whose a token is.
    """
    if positions is not None and len(own) and own[-1] < len(positions):
        numbers = numbers_of(np.asarray(positions))
        part = int(numbers[own[0]])
        if np.array_equal(places[numbers[places] == part], own):
            return own, part
    return places[:0], 0


def token_texts(tokens: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """The text that each token adds to those before it; "" of one that is but a part of a character."""
    found, start, read = [], 0, 0
    for end in range(1, len(tokens) + 1):
        before, now = decode(list(tokens[start:read])), decode(list(tokens[start:end]))
        if now.endswith(_TORN) and end - read < 4 and end < len(tokens):  # a character has four bytes at the most
            found.append("")
        else:
            found.append(now[len(before) :])
            start, read = read, end
    return found
