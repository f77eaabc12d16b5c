"""How much a decision spends on saying why: which target samples those that people are shown help most. Pure."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 2000
"""Samples of which a run keeps the text, evenly over its decisions."""
MOST = 40
"""Samples of which a decision shows the text, and so explains."""
SHARE = 10
"""For a decision that costs so many gradients, one more may be taken to explain it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """So many ``samples`` can be explained, for which so many ``gradients`` are taken."""

    samples: int
    gradients: int


def paid_for(wanted: int, taken: int, *, targets: int | None = None, held: int = 1) -> Paid:
    """As many of ``wanted`` samples as a tenth of ``taken`` pays for: a gradient each, where that is all.

    Else ``targets`` gradients come with each block of ``held`` samples: those of all target samples, made anew.
    ``taken`` is what the decision costs otherwise, in gradients.
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


def most_of(decisions: int) -> int:
    """How many samples each decision of a run explains at most."""
    return min(MOST, LIMIT // (decisions + 1))


def reckoned(taken: float, most: int) -> float:
    """The gradients that explaining ``most`` samples takes where those of the target set are kept, by those ``taken``.

    Where they are not it may be more, up to a tenth of these.
    """
    return min(float(most), taken / SHARE)


def left_of(budget: float, most: int) -> float:
    """The gradients that a decision may take of a ``budget`` that pays for explaining ``most`` samples, too."""
    return max(budget - most, budget * SHARE / (SHARE + 1))
