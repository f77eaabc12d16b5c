"""How much a decision spends on saying why: which target samples those that people are shown help most. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 40
"""Samples that a decision explains."""
SHARE = 10
"""Of so many gradients that a decision takes, one more may be taken to explain it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """So many ``samples`` can be explained, for which so many ``gradients`` are taken."""

    samples: int
    gradients: int


def paid_for(wanted: int, taken: int, *, targets: int | None = None, held: int = 1) -> Paid:
    """As many of ``wanted`` samples as a tenth of ``taken`` gradients pays for: a gradient each, where that is all.

    Else ``targets`` gradients come with each block of ``held`` samples: those of all target samples, made anew.
    """
    room, wanted = taken // SHARE, min(wanted, MOST)
    if targets is None:
        return Paid(samples=min(wanted, room), gradients=min(wanted, room))
    best = Paid(samples=0, gradients=0)
    for blocks in range(1, -(-wanted // held) + 1):
        samples = min(wanted, blocks * held, room - blocks * targets)
        if samples > best.samples:
            needed = -(-samples // held)
            best = Paid(samples=samples, gradients=samples + needed * targets)
    return best


def reckoned(taken: float) -> float:
    """The gradients that explaining a decision takes at most where target gradients are kept, by those it ``taken``."""
    return min(float(MOST), taken / SHARE)


def left_of(budget: float) -> float:
    """The gradients that a decision may take of a ``budget`` that pays for explaining it, too."""
    return max(budget - MOST, budget * SHARE / (SHARE + 1))
