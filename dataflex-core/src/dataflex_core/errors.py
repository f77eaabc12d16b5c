"""The errors DataFlex raises on purpose: one line what is wrong, one line what to do.

``exit_code``, on the right, is what the command line ends with: 2 where the request itself is wrong, 1 where a run
failed::

    DataflexError                 1
        UsageError                2
            InvalidConfig         2
                ManyFaults        2
            InvalidParameters     2
            InvalidPlugin         2
            UnknownStrategy       2
            WrongKind             2
            AmbiguousStrategy     2
            UnmetNeed             2
            DataError             2
        StrategyFault             1
        RunFailed                 1
            RanksDisagree         1
            Interrupted           143
"""

from __future__ import annotations

from collections.abc import Iterable


class DataflexError(Exception):
    """Base of every error with a remedy.

    ``message`` says what is wrong, ``hint`` what to do about it; both are single sentences without a trailing newline.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} ({self.hint})"


class UsageError(DataflexError):
    """The request cannot be carried out as it was written.

    ``key`` is the path of the configuration's key that it is about: ``("dataflex", "selector", "name")``.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None, key: Iterable[str | int] = ()) -> None:
        super().__init__(message, hint=hint)
        self.key = tuple(key)


class InvalidConfig(UsageError):
    """A configuration file, an override or a flag is malformed, unknown or out of range."""


class ManyFaults(InvalidConfig):
    """Several faults of one request, each an error of its own."""

    faults: tuple[UsageError, ...] = ()


class InvalidParameters(UsageError):
    """Parameters of a strategy are unknown, of the wrong type or out of range."""


class InvalidPlugin(UsageError):
    """A plugin that was asked for by name or as a file cannot be used."""


class UnknownStrategy(UsageError):
    """No installed plugin offers a strategy of that name."""


class WrongKind(UsageError):
    """The name belongs to a strategy of another kind."""


class AmbiguousStrategy(UsageError):
    """Two plugins offer the same kind and name, and the bare name was asked for."""


class UnmetNeed(UsageError):
    """A strategy needs something that this run does not provide."""


class DataError(UsageError):
    """The data cannot be used: missing, empty, streamed, or too small for an interval."""


class StrategyFault(DataflexError):
    """A strategy broke its contract while a run was under way."""


class RunFailed(DataflexError):
    """LLaMA-Factory or a strategy raised while a run was under way."""


class RanksDisagree(RunFailed):
    """The ranks of a run took different decisions."""


class Interrupted(RunFailed):
    """Somebody asked for the end: 128 and the signal's number, 143 where a checkpoint was left on SIGTERM."""

    exit_code = 143
