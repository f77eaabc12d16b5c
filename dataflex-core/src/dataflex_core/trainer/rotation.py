"""Which checkpoints go where ``save_total_limit`` allows only so many: torn ones first, the newest one never.

transformers goes by the folders' times, and by their numbers where all times lie within a second. A torn checkpoint
of a later step, or one of an earlier run, would then stay, and the one that was just written would go.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from dataflex_core.trainer.checkpoint_files import FOLDER, NO_OPTIMIZER, NO_STATE, checkpoints, what_is_torn


def remove_torn(output: Path, notice: Callable[[str], None]) -> None:
    """Remove the checkpoints in ``output`` that were cut short, and say so in one ``notice``. For rank 0.

    Those without a state of DataFlex stay, which LLaMA-Factory may have written, and those without an optimizer's.
    """
    removed = []
    for path in reversed(checkpoints(output)):
        if (wrong := _cut_short(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            removed += [] if path.exists() else [f"{path} {wrong}"]
    if removed:
        notice(f"{', '.join(removed)}: removed, as save_total_limit allows no more than are whole")


def rotate(output: Path, limit: int, *, kept: Collection[Path]) -> None:
    """Leave ``limit`` checkpoints in ``output``: those in ``kept``, then the newest by time, and by number. For rank 0.

    All that are in ``kept`` stay, also where they are more than ``limit``.
    """
    protected = {path.resolve() for path in kept}
    found = checkpoints(output)
    others = [path for path in found if path.resolve() not in protected]
    # Newest number first; equal times leave that order.
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in others[max(0, limit - (len(found) - len(others))) :]:
        shutil.rmtree(path, ignore_errors=True)


def _cut_short(checkpoint: Path) -> str | None:
    """How a checkpoint is what a killed run left of it, or None."""
    wrong = what_is_torn(checkpoint)
    if wrong == NO_STATE:
        return wrong if (checkpoint / f"{FOLDER}.tmp").is_dir() else None
    return None if wrong == NO_OPTIMIZER else wrong
