"""Checkpoints that are loaded whole: what stock loading leaves out of the weights is loaded, or told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError, DataflexError
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.trainer.base import FlexTrainer
from dataflex_core.trainer.checkpoint_files import stored_state
from dataflex_core.trainer.trained_weights import differing, digests_of, listed, mend, refusal

WEIGHTS = "weights"
"""The digests of what trains, in the state of a run; None where they are not known."""


class CompleteTrainer(FlexTrainer):
    """Compares the weights of a checkpoint that was loaded with those that it was written with."""

    _is_checked = False
    """Whether the checkpoint that was loaded first has been compared."""

    def _load_best_model(self) -> None:
        """As stock, and whole. What is not is told: it is no reason to lose the end of a run."""
        super()._load_best_model()
        best = Path(self.state.best_model_checkpoint)
        try:
            self.check_saved(best)
        except DataflexError as wrong:
            self.run.journal.notice(f"the best model is not as it was: {wrong.message}; {best} itself is whole")

    def check_saved(self, checkpoint: Path) -> None:
        """As `check_loaded`, of those weights that trained when it was written, whatever trains here."""
        saved = _saved(checkpoint).get(WEIGHTS) or ()
        self.check_loaded(checkpoint, {name: p for name, p in self.model.named_parameters() if name in saved})

    def check_loaded(self, checkpoint: Path, trained: Mapping[str, Any]) -> None:
        """Once a checkpoint is loaded: load those of the weights ``trained`` that were left out.

        Raises what `refusal` gives where ``trained`` is still not what was saved. Collective.
        """
        self._is_checked = True
        state = _saved(checkpoint)
        if self.ranks.largest(int(WEIGHTS not in state)):  # an older version wrote it, or LLaMA-Factory
            return
        saved, found = state[WEIGHTS], self.digests(trained)
        if saved is None or found is None:
            self.run.journal.notice(f"weights that ranks share out are not compared with those of {checkpoint}")
            return
        wrong = differing(found, saved)
        if wrong and found.keys() == saved.keys() and not self.is_deepspeed_enabled:
            try:
                mend(self.model, checkpoint, wrong)
            except Exception as error:
                raise refusal(checkpoint, found, saved) from error
            found = self.digests(trained) or {}
        if self.ranks.largest(len(differing(found, saved))):
            raise refusal(checkpoint, found, saved)
        if wrong:
            self.run.journal.notice(
                f"{listed(wrong)}: left out as {checkpoint} was loaded, where they lie under other names; loaded now"
            )

    def digests(self, parameters: Mapping[str, Any]) -> dict[str, str] | None:
        """As `digests_of`; None under FSDP, too."""
        return None if self.is_fsdp_enabled else digests_of(parameters)

    def trained(self) -> dict[str, Any]:
        """The parameters that train, or have their turn, by name."""
        in_blocks = self.trains_in_blocks()
        return {name: p for name, p in self.model.named_parameters() if in_blocks or p.requires_grad}

    def trains_in_blocks(self) -> bool:
        """As `RunArgs.trains_in_blocks`."""
        return RunArgs(written=self.run.prepared.config.args).trains_in_blocks


def _saved(checkpoint: Path) -> Mapping[str, Any]:
    """The state of a checkpoint, empty where it has none that this version reads."""
    try:
        return stored_state(checkpoint)
    except DataError:
        return {}
