"""The workflow of one of LLaMA-Factory's stages, with its data and its trainer replaced for the time of a block."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from dataflex_core.llamafactory.stages import STAGES
from dataflex_core.llamafactory.swapped import swapped
from dataflex_core.trainer.interrupt import terminated


@contextmanager
def replaced(
    stage: str, get_dataset: Callable[[Any], Callable[..., Any]], trainer: Callable[[type[Any]], Callable[..., Any]]
) -> Iterator[None]:
    """Have it load by what ``get_dataset`` makes of its loader, and train by what ``trainer`` makes of its class.

    Where one process trains, SIGTERM raises `Terminated` in the block.
    """
    names = STAGES[stage]
    workflow: Any = importlib.import_module(names.workflow)
    stock = getattr(workflow, names.trainer)
    changes = {"get_dataset": get_dataset(workflow.get_dataset), names.trainer: trainer(stock)}
    # A rank among others waits for them in C++, where no handler of Python's is called.
    alone = int(os.environ.get("WORLD_SIZE") or 1) == 1
    with swapped(workflow, **changes), terminated() if alone else nullcontext():
        yield
