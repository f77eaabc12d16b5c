"""DataFlex's signals without a run: the one place that constructs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


def make_signals(
    model: Any,
    optimizer: torch.optim.Optimizer,
    pool: Sequence[Any],
    targets: Mapping[str, Sequence[Any]],
    *,
    token_budget: int,
    seed: int,
    collate: Callable[[list[Any]], Any],
    notice: Callable[[str], None] | None = None,
) -> Any:
    """`ModelSignals` of ``pool`` and the target subtasks, on one process; ``seed`` is that of the projections.

    Without a ``notice`` whatever would be said raises `RuntimeError`.
    """
    from accelerate import Accelerator

    from dataflex_core.collectives import Ranks
    from dataflex_core.scoring.context import ScoringContext
    from dataflex_core.scoring.engine import Engine
    from dataflex_core.scoring.model_signals import ModelSignals
    from dataflex_core.scoring.models import Models
    from dataflex_core.scoring.samples import Samples

    ranks = Ranks(Accelerator(cpu=not torch.cuda.is_available()))
    context = ScoringContext(
        models=Models(training=model, tokenizer=None, device=ranks.device),
        optimizer=lambda: optimizer,
        engine=Engine(collate=collate, ranks=ranks, token_budget=token_budget, show_progress=False),
        targets=[Samples(name=name, dataset=rows) for name, rows in targets.items()],
        notice=notice or _refuse,
        seed=seed,
    )
    return ModelSignals(context, Samples(name="the pool", dataset=pool))


def _refuse(text: str) -> None:
    raise RuntimeError(f"what is measured is not the usual way: {text}")
