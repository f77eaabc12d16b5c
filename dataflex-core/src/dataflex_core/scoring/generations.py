"""Completions by the model in training, of the samples' own prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from dataflex_core.errors import UnmetNeed
from dataflex_core.questions import check_sampling
from dataflex_core.rng import derive
from dataflex_core.scoring.engine import Ragged
from dataflex_core.scoring.model_calls import base_of
from dataflex_core.scoring.targets import IGNORE

_KNOWN = {"input_ids", "attention_mask", "labels", "position_ids"}


def split_answer(ids: Sequence[int], labels: Sequence[int]) -> tuple[list[int], list[int]]:
    """A sample's prompt and its answer: the last run of target tokens, and all that stands before it."""
    targets = np.asarray(labels) != IGNORE
    if not targets.any():
        return list(ids), []
    stop = int(np.flatnonzero(targets)[-1]) + 1
    before = np.flatnonzero(~targets[:stop])
    start = int(before[-1]) + 1 if before.size else 0
    return list(ids[:start]), list(ids[start:stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How completions are drawn: greedily for ``temperature`` None.

    Raises `StrategyFault` for what cannot be, and for several greedy ones: they would all be the same.
    """

    count: int
    max_new_tokens: int
    temperature: float | None
    top_p: float

    def __post_init__(self) -> None:
        check_sampling(
            count=self.count, max_new_tokens=self.max_new_tokens, temperature=self.temperature, top_p=self.top_p
        )

    def config(self, *, ends: Sequence[int], pad: int) -> GenerationConfig:
        """The same for transformers; it overrules the model's own defaults. ``ends`` and ``pad`` are token ids.

        Draws are left to a `_Drawn`: to transformers each completion is the greedy one of a row of its own.
        """
        return GenerationConfig(
            max_new_tokens=self.max_new_tokens,
            num_beams=1,
            do_sample=False,
            repetition_penalty=1.0,
            eos_token_id=list(ends),
            pad_token_id=pad,
        )

    def processors(self, uniform: NDArray[np.float64], start: int) -> LogitsProcessorList:
        """What makes completions of one token after the other from ``start`` on, by ``uniform`` as `_Drawn` has it."""
        if self.temperature is None:
            return LogitsProcessorList()
        nucleus = [TopPLogitsWarper(self.top_p)] if self.top_p < 1 else []
        return LogitsProcessorList([TemperatureLogitsWarper(self.temperature), *nucleus, _Drawn(uniform, start)])


class _Drawn(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Leaves of each row's tokens the one that is drawn: the first whose cumulative probability is above a number.

    ``uniform`` Float64[rows, tokens] are those numbers, from 0 to 1. What a row is drawn does not depend on the others,
    as torch's own draws do, and so not on how prompts are batched.
    """

    def __init__(self, uniform: NDArray[np.float64], start: int) -> None:
        self._uniform, self._start = uniform, start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        below = scores.double().softmax(dim=-1).cumsum(dim=-1)
        drawn = torch.from_numpy(self._uniform[:, input_ids.shape[1] - self._start, None]).to(below)
        token = torch.searchsorted(below, drawn * below[:, -1:], right=True).clamp(max=below.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, token, 0.0)


def complete(
    model: nn.Module,
    batch: Mapping[str, Any],
    sampling: Sampling,
    config: GenerationConfig,
    *,
    lockstep: bool,
    seed: tuple[int | str, ...],
) -> Ragged:
    """Completions of a batch's prompts, end token included: their tokens, and how many each has, Int64[B, C].

    Prompts are padded on the left, whatever the batch's side. ``config`` is that of ``sampling``, whose draws depend on
    ``seed`` and on the prompt alone. Raises `UnmetNeed` for samples that are more than text, and for one without a
    prompt.
    """
    if extra := sorted(set(batch) - _KNOWN):
        raise UnmetNeed(f"samples with {', '.join(extra)} cannot be completed", hint="generations take text only")
    prompts = []
    for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"].bool(), strict=True):
        prompt, _ = split_answer(ids[mask].tolist(), labels[mask].tolist())
        prompts.append(prompt)
    if not all(prompts):
        raise UnmetNeed("a sample has no prompt to complete", hint="set train_on_prompt: false, and stage: sft")
    device = batch["input_ids"].device
    longest, count = max(map(len, prompts)), sampling.count
    ids = torch.full((len(prompts) * count, longest), int(config.pad_token_id), device=device)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row * count : (row + 1) * count, longest - len(prompt) :] = torch.tensor(prompt, device=device)
        mask[row * count : (row + 1) * count, longest - len(prompt) :] = 1
    drawn = [derive(*seed, str(prompt)).random((count, sampling.max_new_tokens)) for prompt in prompts]
    with torch.no_grad():
        made = base_of(model).generate(  # type: ignore[operator]  # a method of transformers' generation mixin
            input_ids=ids,
            attention_mask=mask,
            generation_config=config,
            logits_processor=sampling.processors(np.concatenate(drawn), longest),
            synced_gpus=lockstep,
        )
    ends = torch.tensor(config.eos_token_id, device=device)
    rows = [_until_end(row, ends) for row in made[:, longest:]]
    lengths = torch.tensor([len(row) for row in rows]).view(len(prompts), -1)
    return torch.cat(rows).cpu(), lengths


def _until_end(tokens: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
    found = torch.isin(tokens, ends).nonzero()
    return tokens if found.numel() == 0 else tokens[: int(found[0]) + 1]
