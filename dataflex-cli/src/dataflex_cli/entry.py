"""Where the ``dataflex`` script begins: nothing is imported yet that Ctrl-C could interrupt with a traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """The ``dataflex`` script. Ctrl-C ends it with 130 at any time, while it still imports, too."""
    try:
        from dataflex_cli.main import main as command
    except KeyboardInterrupt:
        print("Error: stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
    command()
