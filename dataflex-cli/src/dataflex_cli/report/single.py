"""Single samples that a report names: the rows of its table, those weighed by token, and those that are alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A target sample that others help, as far as its text was kept: ``file`` is empty where nobody knows it."""

    target: str
    sample: int
    file: str
    row: int
    pieces: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpsMost:
    """The target sample that a sample helps most, by its place in the report's ``targets``, with the cosine.

    ``means`` are the mean cosines with each target set: what the decision judged the sample by.
    """

    place: int
    cosine: float
    means: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A row of the table: a sample, what was decided about it and why, and where in whose file it is.

    The decision was taken after ``step``, 0 where a run of before does not say.
    ``loss`` is the one that the selector was told when it decided, None where it asked for none.
    """

    sample: int
    decision: int
    step: int
    why: tuple[str, ...]
    chosen: bool
    score: float | None
    rank: int | None
    judged: int
    domain: str
    dataset: str
    file: str
    row: int
    times: int
    tokens: int
    trained: int
    cut: bool
    left_out: int
    pieces: tuple[tuple[str, str], ...]
    loss: float | None = None
    helps: HelpsMost | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeighedSample:
    """A sample as step ``step`` weighed it: its target tokens' texts and weights; ``left_out`` more are not shown.

    Of several that are packed in it the one of number ``part``, from 1; 0 where it is one.
    """

    step: int
    sample: int
    domain: str
    tokens: tuple[str, ...]
    weights: tuple[float, ...]
    left_out: int
    part: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """Two texts that are the same but for case and spaces (``same``), or nearly. ``other`` may be of a target set."""

    sample: int
    other: int
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaks:
    """Samples of the target set in the pool: how many are there, ``trained`` of which were trained on, and ``some``.

    These are the same but for case and spaces. ``near`` are samples shown that are the same or nearly, with the number
    of the target set's sample.
    """

    pool: int = 0
    trained: int = 0
    some: tuple[int, ...] = ()
    near: tuple[Twins, ...] = ()
