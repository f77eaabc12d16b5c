"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """A problem will stop a run, a warning may surprise somebody."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: what was looked at, what was found, and what to do where that is not good."""

    name: str
    state: State
    detail: str
    remedy: str = ""
