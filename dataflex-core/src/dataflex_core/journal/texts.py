"""Texts beside a journal: what the model saw of a bounded set of samples, and why each of them is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.journal.codec import typed
from dataflex_core.others_files import json_of

FOLDER = "texts"


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
    """Decision ``decision`` and one of its samples: ``why`` is ``highest``, ``lowest``, ``marginal`` or ``random``.

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


class _There:
    """What the records of a file come to, one after the other: what was made again as it was made last."""

    def __init__(self, since: int | None = None) -> None:
        self.since = since
        self.texts: dict[tuple[str, int], Text] = {}
        """By target set, empty for the pool, and sample."""
        self.shown: dict[int, list[Shown]] = {}
        self.weighed: dict[tuple[int, int, int], Weighed] = {}
        self._last = (-1, -1)
        """The decision and the step that were told of last."""

    def then(self, record: Mapping[str, Any]) -> _There:
        """What it comes to with the next record: nothing of what there was, where the run goes on with other data.

        A record that is none of those known here is passed over.
        """
        with suppress(DataError):
            if "since" in record:
                return _There(typed(int | None, record["since"], "since"))
            self._add(record)
        return self

    def _add(self, record: Mapping[str, Any]) -> None:
        decision, step = self._last
        if "text" in record:
            text = typed(Text, record["text"], "text")
            self.texts[text.target, text.sample] = text
        elif "decided" in record:
            decision = typed(int, record["decided"], "decided")
            self.shown[decision] = []
        elif "shown" in record:
            one = typed(Shown, record["shown"], "shown")
            if one.decision != decision:  # files of before do not say that a decision was taken
                self.shown[one.decision] = []
            self.shown[one.decision].append(one)
            decision = one.decision
        elif "step" in record:
            step = self._weighs(typed(int, record["step"], "step"))
        elif "weighed" in record:
            each = typed(Weighed, record["weighed"], "weighed")
            if each.step < step:  # likewise of steps
                self._weighs(each.step)
            self.weighed[each.step, each.sample, each.part] = each
            step = each.step
        self._last = (decision, step)

    def _weighs(self, step: int) -> int:
        """A step is made: what there is of it, and of later ones, was made before the run went on. The step."""
        self.weighed = {key: made for key, made in self.weighed.items() if key[0] < step}
        return step

    def found(self) -> Texts:
        """In the order in which they are read."""
        return Texts(
            samples={sample: text for (target, sample), text in self.texts.items() if not target},
            targets=[text for text in self.texts.values() if text.target],
            shown=[one for decision in sorted(self.shown) for one in self.shown[decision]],
            weighed=[self.weighed[key] for key in sorted(self.weighed)],
            since=self.since,
        )


class TextFile:
    """Appends to ``folder/texts/RUN.jsonl`` what is not there yet. A file that cannot be written is told, once.

    A run that goes on goes on with its file: a sample's text is there once, and a decision that is taken again is
    shown as it was taken last, also where nothing is shown of it then.
    """

    def __init__(self, folder: Path, run: str, notice: Callable[[str], None]) -> None:
        self.path = folder / FOLDER / f"{run}.jsonl"
        self._notice = notice
        self._broken = False
        self._there = _There()
        self._torn = False
        with suppress(OSError):
            self._torn = not self.path.read_bytes().endswith(b"\n")
            self._there = _there_in(self.path)

    def go_on(self, since: int | None, *, other: bool) -> None:
        """The run goes on with the data that it has had since step ``since``, None: from the beginning.

        It is ``other`` data than it had until now, or else it may be that of before it had other data: what is in the
        file of any other is read no longer.
        """
        if other or since != self._there.since:
            self._append([{"since": since}])

    def has(self, sample: int, target: str = "") -> bool:
        """Whether the text of a sample is there."""
        return (target, sample) in self._there.texts

    def had(self, decision: int, step: int) -> int:
        """Samples of the pool that are there for decisions before one that is taken after step ``step``, and weights.

        The same where the run has gone on from before it, and takes it again.
        """
        shown = {one.sample for number, some in self._there.shown.items() if number < decision for one in some}
        return len(shown | {one.sample for one in self._there.weighed.values() if one.step <= step})

    def had_weighed(self, step: int) -> int:
        """Samples there that steps before ``step`` weighed by token."""
        return sum(one.step < step for one in self._there.weighed.values())

    def write(
        self,
        texts: Sequence[Text],
        shown: Sequence[Shown] = (),
        weighed: Sequence[Weighed] = (),
        *,
        decided: int | None = None,
    ) -> None:
        """Append texts that the file lacks, what is shown, and what was weighed.

        ``decided`` is a decision that was taken: of it nothing but ``shown`` is shown from here on.
        """
        records: list[dict[str, Any]] = [{"text": asdict(t)} for t in texts if not self.has(t.sample, t.target)]
        records += [] if decided is None else [{"decided": decided}]
        records += [{"shown": asdict(one)} for one in shown]
        for step, of_step in groupby(weighed, key=lambda one: one.step):
            records += [{"step": step}, *({"weighed": asdict(one)} for one in of_step)]
        self._append(records)

    def _append(self, records: Sequence[dict[str, Any]]) -> None:
        if self._broken:
            return
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        text = "".join(line + "\n" for line in lines)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.write(("\n" if self._torn else "").encode() + text.encode("utf-8", "replace"))
        except OSError as error:
            self._broken = True
            self._notice(f"{self.path} could not be written: {error.strerror}; the report will lack texts")
            return
        self._torn = False
        for line in lines:  # as they will be read
            self._there = self._there.then(json.loads(line))


def read_texts(path: Path) -> Texts:
    """What is in a file; a decision or step that was made again as it was made last.

    Lines that are torn, or tell what is not known here, as those of another version, are passed over, and so are keys
    that are not known. A file that is not there is empty. Raises `OSError` for one that cannot be read.
    """
    return _there_in(path).found()


def _there_in(path: Path) -> _There:
    there = _There()
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
