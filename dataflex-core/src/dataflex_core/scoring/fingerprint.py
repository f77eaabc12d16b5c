"""Digests of what a result depends on: samples, weights, code. Equal content, equal digest, on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
import xxhash
from torch import nn

import dataflex_core
from dataflex_core.scoring.sharded import part_of

_ROWS = 1000
_PIECE = 1 << 26
"""Bytes of a tensor that are brought to the CPU at once."""


def digest_of_samples(dataset: Any) -> str:
    """Digest of every column of every sample, in order; read by whole tables where the data set is an Arrow table."""
    digest = xxhash.xxh3_128()
    if hasattr(dataset, "with_format"):
        for table in dataset.with_format("arrow").iter(batch_size=_ROWS):
            for batch in table.combine_chunks().to_batches():
                digest.update(memoryview(batch.serialize()))
        return digest.hexdigest()
    for index in range(len(dataset)):
        for key, value in sorted(dataset[index].items()):
            digest.update(f"{key}:".encode())
            digest.update(_bytes_of(value))
    return digest.hexdigest()


def digest_of_model(model: nn.Module) -> str:
    """Digest of every parameter and buffer, bit by bit; of this rank's part where the model is sharded."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return digest_of_tensors((name, part_of(tensor)) for name, tensor in named)


def digest_of_tensors(named: Iterable[tuple[str, torch.Tensor | None]]) -> str:
    """Digest of tensors' names and bits, in the order given; of the name alone for None."""
    digest = xxhash.xxh3_128()
    for name, tensor in named:
        digest.update(name.encode())
        if tensor is not None:
            flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
            for start in range(0, len(flat), _PIECE):
                piece = flat[start : start + _PIECE].cpu().numpy()
                digest.update(memoryview(piece))  # type: ignore[arg-type]  # numpy's stubs of Python 3.11
    return digest.hexdigest()


@cache
def digest_of_code() -> str:
    """Digest of this package's code and the versions of what it runs on."""
    digest = xxhash.xxh3_128(f"{dataflex_core.__version__} {torch.__version__} {transformers.__version__}".encode())
    package = Path(str(files("dataflex_core.scoring")))
    for source in sorted(package.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()


def digest_of_text(*texts: str) -> str:
    """Digest of some texts, in order."""
    digest = xxhash.xxh3_128()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode())
    return digest.hexdigest()


def _bytes_of(value: Any) -> bytes:
    if torch.is_tensor(value):
        value = value.cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        return repr(value).encode()
    return repr(value).encode() if array.dtype == object else f"{array.dtype}{array.shape}".encode() + array.tobytes()
