"""The lines that transformers prints at each log, without the figures that are for trackers."""

from __future__ import annotations

from typing import Any

from transformers import PrinterCallback, ProgressCallback

PREFIX = "dataflex/"
"""What the names of our figures begin with."""


class ShortProgress(ProgressCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
    """The stock progress bar, and beside it a line with LLaMA-Factory's own figures."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Print ``logs`` but for ours."""
        super().on_log(args, state, control, logs=_printed(logs), **kwargs)


class ShortPrinter(PrinterCallback):  # type: ignore[misc]  # transformers' callbacks are untyped
    """The stock lines of a run without a bar, of LLaMA-Factory's own figures."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Print ``logs`` but for ours."""
        super().on_log(args, state, control, logs=_printed(logs), **kwargs)


SHORT = {ProgressCallback: ShortProgress, PrinterCallback: ShortPrinter}
"""The callbacks that print, and what stands in for them."""


def _printed(logs: Any) -> dict[str, Any]:
    return {name: value for name, value in (logs or {}).items() if not name.startswith(PREFIX)}
