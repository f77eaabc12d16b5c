"""A run goes on from the very weights it had: their digests lie in its checkpoint, and are compared once it is loaded.

Whoever loads a checkpoint by name and without strictness may leave weights as they were: transformers does where it
saves a model under other names than its modules have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from dataflex_core.errors import DataflexError, InvalidConfig, RunFailed
from dataflex_core.scoring.fingerprint import digest_of_tensors
from dataflex_core.scoring.sharded import is_sharded

Digests = Mapping[str, str]
"""By a weight's name: its dtype, a blank, and the digest of its bits."""

_NAMED = 3
"""How many weights a message names."""
_ANEW = "start a run with model_name_or_path, or adapter_name_or_path, set to it, and another output_dir"


def digests_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, str] | None:
    """By name; None where ranks share one out. Reads each once."""
    if any(is_sharded(parameter) or hasattr(parameter, "to_local") for parameter in parameters.values()):
        return None
    return {name: _digest(name, parameter) for name, parameter in parameters.items()}


def differing(found: Digests, saved: Digests) -> list[str]:
    """The names of the weights that are not as they were, or not among both."""
    return [name for name in dict.fromkeys([*saved, *found]) if found.get(name) != saved.get(name)]


def mend(model: nn.Module, checkpoint: Path, names: Collection[str]) -> None:
    """Load the weights ``names``, where transformers finds them in a checkpoint of the whole model. Costs its memory.

    Changes neither dtypes nor the state of random generators.
    """
    if not isinstance(model, PreTrainedModel):
        return
    wanted = {name: p for name, p in model.named_parameters() if name in names}
    # Wide enough for what is narrower to come back as it was.
    dtype = reduce(torch.promote_types, (p.dtype for p in wanted.values()), torch.float32)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        stored = dict(type(model).from_pretrained(checkpoint, dtype=dtype).named_parameters())
        for name, parameter in wanted.items():
            if name in stored and stored[name].shape == parameter.shape:
                parameter.copy_(stored[name])


def refusal(checkpoint: Path, found: Digests, saved: Digests) -> DataflexError:
    """The error for a checkpoint that was loaded, and whose weights are not those that it was written with."""
    if other := [name for name in found if name not in saved]:
        return _of_another_run(checkpoint, f"did not train {listed(other)}, which trains here")
    if other := [name for name in saved if name not in found]:
        return _of_another_run(checkpoint, f"trained {listed(other)}, which does not train here")
    if not (wrong := differing(found, saved)):
        return RunFailed(f"{checkpoint} was not loaded whole on another rank", hint=_ANEW)
    then, now = (_dtype(digests[wrong[0]]) for digests in (saved, found))
    if then != now:
        return InvalidConfig(
            f"{checkpoint} was written by a run whose weights are {then}, and here they are {now}: {listed(wrong)}",
            hint="bf16, fp16, pure_bf16 have to be those of the run that wrote it; or choose another output_dir",
        )
    return RunFailed(
        f"{checkpoint} was not loaded whole: {listed(wrong)}, of {len(saved)} that train, are not as they were saved",
        hint=_ANEW,
    )


def listed(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _of_another_run(checkpoint: Path, what: str) -> InvalidConfig:
    return InvalidConfig(
        f"{checkpoint} was written by a run that {what}",
        hint="finetuning_type and what belongs to it have to be those of the run that wrote it; or choose another "
        "output_dir",
    )


def _digest(name: str, parameter: Any) -> str:
    return f"{str(parameter.dtype).removeprefix('torch.')} {digest_of_tensors([(name, parameter)])}"


def _dtype(digest: str) -> str:
    return digest.partition(" ")[0]
