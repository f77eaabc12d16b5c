"""A plugin that offers nothing, and makes an evaluation's loss a matter of the step: the run stops where it is to.

A loss that is trained for may rise or fall by its last digit, as the processor has it.
"""

from __future__ import annotations

from typing import Any

from dataflex_core import hookimpl

BEST = 4
"""The step after which the loss is lowest: falling before, rising after."""


@hookimpl
def dataflex_strategies():
    """Called once a process, before anything is trained."""
    from transformers import Trainer

    original = Trainer.evaluation_loop

    def graded(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        assert "eval_loss" in found.metrics, "there is nothing to grade"
        found.metrics["eval_loss"] = 1.0 + abs(self.state.global_step - BEST)
        return found

    Trainer.evaluation_loop = graded
    return ()
