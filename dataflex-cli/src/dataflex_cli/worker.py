"""One rank of a run, as torchrun starts it: ``python -m dataflex_cli.worker HANDOVER ERRORS LAUNCHER [--debug]``.

HANDOVER is a file with what the launcher validated, ERRORS the folder where the launcher looks for errors, LAUNCHER the
number of the process that starts the rank.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from dataflex_cli.console import warn
from dataflex_cli.failures import errors_in_one_line
from dataflex_cli.leaving import Leaving
from dataflex_cli.narrator import Narrator
from dataflex_cli.orphans import end_without_launcher
from dataflex_cli.rank_exits import leave_error, stopped_by_signal
from dataflex_cli.speaking import asked, speaking
from dataflex_cli.streams import keep_streams_open
from dataflex_core.errors import DataflexError
from dataflex_core.handover import Handover
from dataflex_core.journal import Event, Notice
from dataflex_core.judging import Judging
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.prepared import PreparedRun
from dataflex_core.wording import one_line


def train_here(prepared: PreparedRun, *, debug: bool) -> None:
    """Train in this process, and tell a person on rank 0. Raises `DataflexError` whatever goes wrong."""
    from dataflex_core.llamafactory.run import train

    narrator = Narrator(output_dir=str(RunArgs(written=prepared.config.args).output))
    try:
        with errors_in_one_line(debug=debug):
            train(prepared, narrator)
    except KeyboardInterrupt as error:
        raise stopped_by_signal(getattr(error, "number", signal.SIGINT)) from error
    _close(narrator)


def judge_here(prepared: PreparedRun, judging: Judging, *, debug: bool) -> None:
    """Judge the pool in this process, and tell a person on rank 0. Raises `DataflexError` whatever goes wrong."""
    from dataflex_core.llamafactory.judge import judge_pool

    def report(event: Event, *, past: bool) -> None:
        if isinstance(event, Notice):
            warn(event.text)

    try:
        with errors_in_one_line(debug=debug):
            judge_pool(prepared, judging, report)
    except KeyboardInterrupt as error:
        stopped = stopped_by_signal(getattr(error, "number", signal.SIGINT))
        stopped.hint = "the same command goes on from what was judged"
        raise stopped from error


def _close(narrator: Narrator) -> None:
    """The last words. The model is saved: neither they nor a terminal that is closed now can make the run a failure."""
    ours = threading.current_thread() is threading.main_thread() and hasattr(signal, "SIGHUP")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN) if ours else None
    try:
        narrator.summary()
    except Exception as error:
        print(f"DataFlex: done; the summary could not be printed: {one_line(error)}", file=sys.stderr)
    finally:
        if ours:
            signal.signal(signal.SIGHUP, before)


def main() -> None:
    """Train as this process's rank; leave an error where the launcher finds it, and exit with its code."""
    keep_streams_open()
    end_without_launcher(int(sys.argv[3]))
    with speaking(asked()):
        _main()


def _main() -> None:
    handed_over, errors, debug = Path(sys.argv[1]), Path(sys.argv[2]), "--debug" in sys.argv[4:]
    try:
        handover = Handover.from_json(handed_over.read_text(encoding="utf-8"))
        if handover.judging is None:
            train_here(handover.prepared(), debug=debug)
        else:
            judge_here(handover.prepared(), handover.judging, debug=debug)
    except DataflexError as error:
        leave_error(error, errors)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # while it still imports
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    Leaving().after(main)
