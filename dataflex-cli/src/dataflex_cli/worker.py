"""One rank of a run, as torchrun starts it: ``python -m dataflex_cli.worker RUN.json ERRORS [--debug]``."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from dataflex_cli.console import Narrator
from dataflex_cli.failures import one_line
from dataflex_cli.launch import PLUGINS
from dataflex_cli.rank_exits import stopped_by, tell
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.config import load_config
from dataflex_core.errors import DataflexError
from dataflex_core.prepare import prepare
from dataflex_core.prepared import PreparedRun


def train_here(prepared: PreparedRun, *, debug: bool) -> None:
    """Train in this process, and tell a person on rank 0. Raises `DataflexError` whatever goes wrong."""
    from dataflex_core.llamafactory.run import train

    narrator = Narrator()
    try:
        with one_line(debug=debug):
            train(prepared, narrator)
    except KeyboardInterrupt as error:
        raise stopped_by(signal.SIGINT) from error
    narrator.summary()


def main() -> None:
    """Train as this process's rank; leave an error where the launcher finds it."""
    task, errors, debug = Path(sys.argv[1]), Path(sys.argv[2]), "--debug" in sys.argv[3:]
    try:
        plugins = Plugins.from_json(task.with_name(PLUGINS).read_text(encoding="utf-8"))
        train_here(prepare(load_config(task), discover(plugins=plugins)), debug=debug)
    except DataflexError as error:
        tell(error, errors)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # while it still imports
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
