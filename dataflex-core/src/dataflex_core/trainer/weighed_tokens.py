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

    None where these are not as many as there are weights: a collator has made other tokens of them.
    """
    width = (len(row) - 1) // 2
    weights = row[1 : 1 + width][row[1 + width :] > 0]
    tokens = list(sample["input_ids"])
    labels = np.asarray(sample.get("labels", tokens))
    places = 1 + np.flatnonzero(labels[1:] != IGNORE)
    if len(places) != len(weights) or not len(places):
        return None
    some = places[:_TOKENS]
    texts = token_texts(tokens[: some[-1] + 1], decode)
    return Weighed(
        step=step,
        sample=int(row[0]),
        tokens=tuple(texts[place] for place in some),
        weights=tuple(round(float(weight), 4) for weight in weights[:_TOKENS]),
        left_out=len(places) - len(some),
    )


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
