"""Runs that are killed amid a step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import train

from dataflex_core.trainer.base import FlexTrainer


class Killed(BaseException):
    """What no code of a run expects."""


def gone_on_with(args: dict[str, Any], *, killed_after: int, checkpoint: int, monkeypatch: Any) -> Path:
    """The output of a run that dies before the second micro-batch of the step after ``killed_after``, and goes on."""
    training_step = FlexTrainer.training_step

    def killed(self: FlexTrainer, *given: Any, **options: Any) -> Any:
        if self.state.global_step == killed_after and self._micro == 0:
            raise Killed("before the second micro-batch of a step")
        return training_step(self, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FlexTrainer, "training_step", killed)
        with pytest.raises(Killed):
            train(args)
    output = Path(args["output_dir"])
    assert not (output / f"checkpoint-{checkpoint + args['save_steps']}").exists()
    return train({**args, "resume_from_checkpoint": str(output / f"checkpoint-{checkpoint}")})
