"""The stages of LLaMA-Factory in which strategies work, and what is replaced there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """``workflow`` is the module that runs it; ``trainer`` the name there of the trainer class."""

    workflow: str
    trainer: str


STAGES: Mapping[str, Stage] = {
    "sft": Stage(workflow="llamafactory.train.sft.workflow", trainer="CustomSeq2SeqTrainer"),
    "pt": Stage(workflow="llamafactory.train.pt.workflow", trainer="CustomTrainer"),
}
"""By what a configuration calls them."""
