"""What several settings of one run would cost: its data is loaded once, and no model."""

from __future__ import annotations

from collections.abc import Sequence

from dataflex_core.errors import UsageError
from dataflex_core.llamafactory.called import llamafactory_errors, loader_of
from dataflex_core.llamafactory.outset import load_data, outline
from dataflex_core.planning.budget import Budget
from dataflex_core.prepared import PreparedRun


def budgets_of(
    prepared: PreparedRun, settings: Sequence[PreparedRun], *, ranks: int, launched: bool = False
) -> tuple[Budget, list[Budget | UsageError]]:
    """What the run has to work with on ``ranks`` ranks, and what with each of ``settings``, or why that cannot be.

    They differ from the run in what is decided, and not in its data. ``launched``, and what is
    raised, are as for a dry run.
    """
    with llamafactory_errors():
        load, data_args, training_args = loader_of(prepared, launched=launched or ranks > 1)
        loaded = load_data(prepared, load, data_args, training_args)
        own = outline(prepared, loaded, training_args, ranks=ranks)
        found: list[Budget | UsageError] = []
        for setting in settings:
            try:
                found.append(outline(setting, loaded, training_args, ranks=ranks))
            except UsageError as error:
                found.append(error)
        return own, found
