"""Samples of realistic, mixed lengths: questions and answers from the documentation of the standard library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dataflex_cli.demo.sample import Sample
from dataflex_cli.demo.texts import DemoTexts

Row = dict[str, list[int]]


def tokenised(tokenizer: Any, samples: Iterable[Sample]) -> list[Row]:
    """Prompt and answer as LLaMA-Factory's ``default`` template writes them; only the answer has labels."""
    return [_row(tokenizer, sample) for sample in samples]


def mixed(texts: DemoTexts, count: int) -> list[Sample]:
    """``count`` samples, the domains in turns."""
    turns = zip(*texts.domains.values(), strict=False)
    return [sample for turn in turns for sample in turn][:count]


def long_rows(texts: DemoTexts, count: int, *, characters: int) -> list[dict[str, str]]:
    """``count`` alpaca rows whose answers are at least ``characters`` long, for steps that all hold equally much."""
    rows: list[dict[str, str]] = []
    answer = ""
    while len(rows) < count:
        for sample in texts.everything():
            answer = f"{answer}\n{sample.output}"
            if len(answer) >= characters:
                rows.append({"instruction": f"Go on, part {len(rows)}.", "input": "", "output": answer})
                answer = ""
    return rows[:count]


def _row(tokenizer: Any, sample: Sample) -> Row:
    prompt = tokenizer(f"Human: {sample.instruction}\nAssistant:", add_special_tokens=False).input_ids
    answer = [*tokenizer(sample.output, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    ids = [*prompt, *answer]
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * len(prompt) + answer}
