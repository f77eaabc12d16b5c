"""A run that is known to be possible, trained in the processes that it asks for."""

from __future__ import annotations

from dataflex_core.catalog import Plugins
from dataflex_core.prepared import PreparedRun


def train(prepared: PreparedRun, plugins: Plugins, nproc: int | None, *, debug: bool) -> None:
    """Train in this process, in torchrun's or in Ray's. Raises `DataflexError` whatever goes wrong."""
    from dataflex_cli.failures import errors_in_one_line
    from dataflex_cli.launch import processes, torchrun
    from dataflex_cli.streams import others_write
    from dataflex_cli.worker import train_here
    from dataflex_core.handover import Handover

    wanted = processes(nproc, prepared.config.args)
    handed_over = Handover.of(prepared, plugins)
    if wanted.ray or wanted.torchrun:
        others_write()
    if wanted.ray:
        from dataflex_cli.in_ray import train_in_ray

        with errors_in_one_line(debug=debug):
            train_in_ray(handed_over, wanted, debug=debug)
    elif wanted.torchrun:
        with errors_in_one_line(debug=debug):
            torchrun(handed_over, wanted, debug=debug)
    else:
        train_here(prepared, debug=debug)
