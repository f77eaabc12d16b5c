"""How a check fails. All are AssertionErrors: a test runner shows them as failed, not as broken."""

from __future__ import annotations

from collections.abc import Mapping


class CheckFailed(AssertionError):
    """A strategy does not keep a promise; the text says which, and where it was seen."""


class OutOfStep(CheckFailed):
    """The ranks did not make the same collective calls in the same order: in a run, they would hang."""


class NotConforming(AssertionError):
    """A strategy fails checks, or passes some that it is expected to fail. ``failures`` has the reason by check."""

    def __init__(self, who: str, failures: Mapping[str, str], *, checks: int) -> None:
        self.failures = dict(failures)
        alike: dict[str, list[str]] = {}
        for check, reason in failures.items():
            alike.setdefault(reason, []).append(check)
        lines = [f"  {', '.join(names)}: {reason}" for reason, names in alike.items()]
        super().__init__("\n".join([f"{who} fails {len(failures)} of {checks} checks", *lines]))
