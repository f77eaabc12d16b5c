"""The ``dataflex`` command, and `run`, which does from Python what ``dataflex run`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from dataflex_core.journal import Run

__all__ = ["run"]


def run(
    config: Path | str | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    strategies: Mapping[str, str | Sequence[str] | None] | None = None,
    *,
    plugins: Sequence[Path | str] = (),
    resume: bool = False,
    nproc: int | None = None,
) -> Run | None:
    """Fine-tune as ``dataflex run`` does, and return the run as its journal tells it.

    ``config`` is a configuration's path, or its keys and values, those of DataFlex below ``dataflex``. ``overrides``
    are values by dotted key, as ``{"dataflex.update_steps": 5}``. ``strategies`` are names by kind, ``selector``,
    ``mixer`` and ``weighter``, of weighters also several; None leaves out the configuration's. ``plugins`` are files,
    ``resume`` and ``nproc`` the options of the command. A run without a strategy keeps no journal: None.

    Prints what the command prints. Raises a `dataflex_core.DataflexError` where the command would end with an error.
    """
    from dataflex_cli.from_python import train

    return train(
        config, overrides or {}, strategies or {}, plugins=tuple(map(str, plugins)), resume=resume, nproc=nproc
    )
