"""Texts beside a journal: what the model saw of a bounded set of samples, and why each of them is shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.others_files import json_of
from dataflex_core.typed import typed

FOLDER = "texts"
Decided = tuple[int, int | None]
"""Number of a decision, and the step after which it was taken, None in files of before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """``text`` in a row that is of one ``role``: ``prompt`` is read, ``answer`` is trained on, as its labels say."""

    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A sample of the pool, or of a target set ``target``, as the model sees it: its tokens decoded.

    ``sample`` is its id there. ``tokens`` counts its tokens, ``trained`` those of them that are trained on. ``cut`` is
    whether it has as many as fit and is not packed, so that the rest of its row, if there was more, is missing;
    ``left_out`` counts the characters that are missing here alone. ``dataset``, ``file`` and ``row`` are the first of
    its rows, empty and 0 where nobody knows.
    """

    sample: int
    pieces: tuple[Piece, ...]
    tokens: int
    trained: int
    cut: bool
    left_out: int = 0
    dataset: str = ""
    file: str = ""
    row: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Helps:
    """The target sample that a sample helps most, by the gradients of the decision that judged it.

    It is sample ``sample`` of the target set ``target``, and ``cosine`` is that of its gradient and of the sample's
    update. ``means`` are the mean cosines with each target set, as `dataflex_core.Signals.influences` has them.
    """

    target: str
    sample: int
    cosine: float
    means: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Decision ``decision``, taken after ``step``, and one of its samples.

    ``why`` is ``highest``, ``lowest``, ``marginal`` or ``random``.

    ``marginal`` ones are next to the line between chosen and not chosen, all others are chosen ones. ``rank`` counts
    from 1, the highest score, among all ``judged``; ``score`` and ``rank`` are None where nobody scored. ``loss`` is
    the mean over its target tokens that the selector was told then, None where it asked for none; ``helps`` is None
    where it did not ask for influence on target sets, or the sample was not looked at for this.
    """

    decision: int
    sample: int
    why: str
    chosen: bool = True
    score: float | None = None
    rank: int | None = None
    judged: int = 0
    loss: float | None = None
    helps: Helps | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """Sample ``sample`` as step ``step`` weighed it, by token: its target tokens' own texts, and their ``weights``.

    A token that is a part of a character has no text of its own. ``left_out`` counts the tokens that follow. Where
    several are packed in a sample, it is the one of number ``part`` in it, from 1; 0 where the sample is one.
    """

    step: int
    sample: int
    tokens: tuple[str, ...]
    weights: tuple[float, ...]
    left_out: int = 0
    part: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a file holds: texts of the pool by sample, those of target sets, what is shown, in the order written.

    ``weighed`` are in the order of steps. Where the run has gone on with other data, all is of that: after step
    ``since``, None where it never has, or nobody said so.
    """

    samples: dict[int, Text] = field(default_factory=dict)
    targets: list[Text] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    weighed: list[Weighed] = field(default_factory=list)
    since: int | None = None


class There:
    """What the records of a file come to, one after the other: what was made again as it was made last."""

    def __init__(self, since: int | None = None) -> None:
        self.since = since
        self.texts: dict[tuple[str, int], Text] = {}
        """By target set, empty for the pool, and sample."""
        self.shown: dict[Decided, list[Shown]] = {}
        self.weighed: dict[tuple[int, int, int], Weighed] = {}
        self._last: tuple[Decided, int] = ((-1, None), -1)
        """The decision and the step that were told of last."""

    def then(self, record: Mapping[str, Any]) -> There:
        """What it comes to with the next record: nothing of what there was, where the run goes on with other data.

        A record that is none of those known here is passed over.
        """
        with suppress(DataError):
            if "since" in record:
                return There(typed(int | None, record["since"], "since"))
            self._add(record)
        return self

    def _add(self, record: Mapping[str, Any]) -> None:
        decision, step = self._last
        if "text" in record:
            text = typed(Text, record["text"], "text")
            self.texts[text.target, text.sample] = text
        elif "decided" in record:
            step_of = typed(int | None, record.get("after"), "after")
            decision = self._decides((typed(int, record["decided"], "decided"), step_of))
        elif "shown" in record:
            one = typed(Shown, record["shown"], "shown")
            if (one.decision, one.step) != decision:  # files of before do not say that a decision was taken
                decision = self._decides((one.decision, one.step))
            self.shown[decision].append(one)
        elif "step" in record:
            step = self._weighs(typed(int, record["step"], "step"))
        elif "weighed" in record:
            each = typed(Weighed, record["weighed"], "weighed")
            if each.step < step:  # likewise of steps
                self._weighs(each.step)
            self.weighed[each.step, each.sample, each.part] = each
            step = each.step
        self._last = (decision, step)

    def _decides(self, decision: Decided) -> Decided:
        """A decision is taken: what is shown of it, and of later ones, was so before the run went on. The decision."""
        if decision[1] is not None:  # what says so was told in the order of steps
            while self.shown and not is_before(last := next(reversed(self.shown)), decision):
                del self.shown[last]
        self.shown[decision] = []
        return decision

    def _weighs(self, step: int) -> int:
        """A step is made: what there is of it, and of later ones, was made before the run went on. The step."""
        self.weighed = {key: made for key, made in self.weighed.items() if key[0] < step}
        return step

    def found(self) -> Texts:
        """In the order in which they are read."""
        return Texts(
            samples={sample: text for (target, sample), text in self.texts.items() if not target},
            targets=[text for text in self.texts.values() if text.target],
            shown=[one for decision in sorted(self.shown, key=_order) for one in self.shown[decision]],
            weighed=[self.weighed[key] for key in sorted(self.weighed)],
            since=self.since,
        )


def _order(decision: Decided) -> tuple[int, int]:
    number, step = decision
    return (-1 if step is None else step, number)


def is_before(one: Decided, other: Decided) -> bool:
    """By the steps that they were taken after; by number, where one does not say."""
    if one[1] is None or other[1] is None:
        return one[0] < other[0]
    return one[1] < other[1]


def read_texts(path: Path) -> Texts:
    """What is in a file; a decision or step that was made again as it was made last.

    Lines that are torn, or tell what is not known here, as those of another version, are passed over, and so are keys
    that are not known. A file that is not there is empty. Raises `OSError` for one that cannot be read.
    """
    return there_in(path).found()


def there_in(path: Path) -> There:
    """What the records of a file come to. Raises as `read_texts` does."""
    there = There()
    for record in _records(path):
        there = there.then(record)
    return there


def _records(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    for line in path.read_bytes().decode("utf-8", "replace").split("\n"):
        try:
            record = json_of(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            yield record
