"""The table of samples: those whose text was kept, with what was decided about each, and why."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dataflex_cli.report.reading import Seen
from dataflex_cli.report.single import HelpsMost, Sample, Target, WeighedSample
from dataflex_core.journal.texts import Helps, Shown, Text

_BYTES = 2_000_000


def samples_of(seen: Seen) -> tuple[tuple[Sample, ...], tuple[Target, ...]]:
    """A row a sample and decision that it is shown for, latest decisions first where not all fit into the page.

    And the target samples that rows name.
    """
    names = list(seen.start.domains)
    ends = np.cumsum(list(seen.start.domains.values()))
    times = np.bincount(seen.trace.ids, minlength=1)
    targets = _Targets(seen.texts.targets)
    found, room, written = [], _BYTES, set()
    for shown, whys in _together(seen.texts.shown):
        text = seen.texts.samples.get(shown.sample)
        if text is None or shown.sample >= ends[-1]:
            continue
        if text.sample not in written:
            room -= _size(text)
            written.add(text.sample)
        room -= targets.size_of_new(shown.helps)
        if room < 0:
            break
        count = int(times[shown.sample]) if shown.sample < len(times) else 0
        domain = names[int(np.searchsorted(ends, shown.sample, side="right"))]
        found.append(_row(shown, whys, text, domain, count, targets.helped(shown.helps)))
    found.sort(key=lambda row: (-row.step, -row.decision, row.rank or 0))
    return tuple(found), tuple(targets.named.values())


def weighed_of(seen: Seen) -> tuple[WeighedSample, ...]:
    """Samples with the weights of their tokens, in the order of steps."""
    names = list(seen.start.domains)
    ends = np.cumsum(list(seen.start.domains.values()))
    return tuple(
        WeighedSample(
            step=one.step,
            sample=one.sample,
            domain=names[int(np.searchsorted(ends, one.sample, side="right"))],
            tokens=one.tokens,
            weights=one.weights,
            left_out=one.left_out,
            part=one.part,
        )
        for one in seen.texts.weighed
        if one.sample < ends[-1] and one.step <= seen.step
    )


class _Targets:
    """The target samples that rows name, each once, in the order in which they are named."""

    def __init__(self, texts: Iterable[Text]) -> None:
        self.named: dict[tuple[str, int], Target] = {}
        self._places: dict[tuple[str, int], int] = {}
        self._texts = {(text.target, text.sample): text for text in texts}

    def size_of_new(self, helps: Helps | None) -> int:
        """How much text a row adds by the target sample that it names."""
        key = None if helps is None else (helps.target, helps.sample)
        return 0 if key is None or key in self.named or key not in self._texts else _size(self._texts[key])

    def helped(self, helps: Helps | None) -> HelpsMost | None:
        """As the row has it; the target sample is named from here on."""
        if helps is None:
            return None
        key = (helps.target, helps.sample)
        if key not in self.named:
            self._places[key] = len(self.named)
            self.named[key] = _target(helps, self._texts.get(key))
        return HelpsMost(place=self._places[key], cosine=helps.cosine, means=helps.means)


def _target(helps: Helps, text: Text | None) -> Target:
    return Target(
        target=helps.target,
        sample=helps.sample,
        file="" if text is None else text.file,
        row=0 if text is None else text.row,
        pieces=() if text is None else tuple((piece.role, piece.text) for piece in text.pieces),
    )


def _size(text: Text) -> int:
    return sum(len(piece.text.encode()) for piece in text.pieces)


def _together(shown: Iterable[Shown]) -> list[tuple[Shown, tuple[str, ...]]]:
    """Each sample of a decision once, with all reasons why it is shown, the latest decision first."""
    found: dict[tuple[int, int, int], list[Shown]] = {}
    for one in shown:
        found.setdefault((-(one.step or 0), -one.decision, one.sample), []).append(one)
    keys = sorted(found, key=lambda key: key[:2])
    return [(found[key][0], tuple(dict.fromkeys(one.why for one in found[key]))) for key in keys]


def _row(shown: Shown, whys: tuple[str, ...], text: Text, domain: str, times: int, helps: HelpsMost | None) -> Sample:
    return Sample(
        sample=shown.sample,
        decision=shown.decision,
        step=shown.step or 0,
        why=whys,
        chosen=shown.chosen,
        score=shown.score,
        rank=shown.rank,
        judged=shown.judged,
        domain=domain,
        dataset=text.dataset,
        file=text.file,
        row=text.row,
        times=times,
        tokens=text.tokens,
        trained=text.trained,
        cut=text.cut,
        left_out=text.left_out,
        pieces=tuple((piece.role, piece.text) for piece in text.pieces),
        loss=shown.loss,
        helps=helps,
    )
