"""What the demo trains on: short question-and-answer samples from the documentation that ships inside Python.

Four domains that a reader can tell apart at a glance, a target set of held-out questions of one of them, and more such
questions, on which the run is evaluated and by which nothing is chosen. The
same interpreter always gives the same samples in the same order, whatever was imported or hashed before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dataflex_cli.demo.library import library_samples
from dataflex_cli.demo.reference import reference_samples
from dataflex_cli.demo.sample import SHORTEST, Sample
from dataflex_core.errors import DataError

TARGET_DOMAIN = "signatures"
PER_DOMAIN = 450
TARGET_SIZE = HELD_OUT_SIZE = 60
_FEWEST_PER_DOMAIN = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTexts:
    """Training samples by domain, the target and the held-out questions, sorted; no topic or answer is in two of them.

    Topics of the target's domain, that is, and no question either.
    """

    domains: Mapping[str, tuple[Sample, ...]]
    target: tuple[Sample, ...]
    held_out: tuple[Sample, ...]

    def everything(self) -> tuple[Sample, ...]:
        """All samples but the held-out ones, the target's last."""
        return (*(sample for samples in self.domains.values() for sample in samples), *self.target)


def collect_texts() -> DemoTexts:
    """Read the running interpreter's documentation. Raises `DataError` where it was stripped (``python -OO``)."""
    found = {"reference": reference_samples(), **library_samples()}
    domains = {domain: _distinct(samples) for domain, samples in found.items()}
    of_target, of_held_out = _small_topics(domains[TARGET_DOMAIN], (TARGET_SIZE, HELD_OUT_SIZE))
    target, held_out = (
        [sample for sample in domains[TARGET_DOMAIN] if sample.topic in topics] for topics in (of_target, of_held_out)
    )
    domains[TARGET_DOMAIN] = tuple(s for s in domains[TARGET_DOMAIN] if s.topic not in of_target | of_held_out)
    for domain, samples in domains.items():
        if len(samples) < _FEWEST_PER_DOMAIN:
            raise DataError(
                f"the demo found {len(samples)} texts for {domain!r} in this Python's documentation, not enough",
                hint="run it on a Python with its docstrings: not python -OO, not a stripped build",
            )
    return DemoTexts(
        domains={domain: tuple(sorted(_draw(samples, PER_DOMAIN))) for domain, samples in domains.items()},
        target=tuple(sorted(_draw(target, TARGET_SIZE))),
        held_out=tuple(sorted(_draw(held_out, HELD_OUT_SIZE))),
    )


def _distinct(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    """Sorted, each answer once, without those too short to teach anything."""
    by_output: dict[str, Sample] = {}
    for sample in sorted(samples):
        if len(sample.output) >= SHORTEST:
            by_output.setdefault(sample.output, sample)
    return tuple(by_output.values())


def _small_topics(samples: Iterable[Sample], wanted: Iterable[int]) -> list[frozenset[str]]:
    """As many topics as hold so many samples, for each of ``wanted``; large topics are left to the training set."""
    sizes: dict[str, int] = {}
    for sample in samples:
        sizes[sample.topic] = sizes.get(sample.topic, 0) + 1
    small = iter(sorted((t for t, size in sizes.items() if size <= TARGET_SIZE // 4), key=_fingerprint))
    found = []
    for count in wanted:
        topics: list[str] = []
        while sum(sizes[t] for t in topics) < count and (topic := next(small, None)) is not None:
            topics.append(topic)
        found.append(frozenset(topics))
    return found


def _draw(samples: Iterable[Sample], count: int) -> list[Sample]:
    """``count`` samples drawn as if at random, but by their text alone."""
    return sorted(samples, key=lambda sample: _fingerprint(sample.output))[:count]


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
