"""The table of samples: those whose text was kept, with what was decided about each."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dataflex_cli.report.model import Sample
from dataflex_cli.report.reading import Seen
from dataflex_core.journal.texts import Shown, Text

_BYTES = 2_000_000


def samples_of(seen: Seen) -> tuple[Sample, ...]:
    """A row a sample and decision that it is shown for, latest decisions first where not all fit into the page."""
    names = list(seen.start.domains)
    ends = np.cumsum(list(seen.start.domains.values()))
    times = np.bincount(seen.trace.ids, minlength=1)
    found, room, written = [], _BYTES, set()
    for shown, whys in _together(seen.texts.shown):
        text = seen.texts.samples.get(shown.sample)
        if text is None or shown.sample >= ends[-1]:
            continue
        if text.sample not in written:
            room -= sum(len(piece.text.encode()) for piece in text.pieces)
            written.add(text.sample)
        if room < 0:
            break
        count = int(times[shown.sample]) if shown.sample < len(times) else 0
        found.append(_row(shown, whys, text, names[int(np.searchsorted(ends, shown.sample, side="right"))], count))
    return tuple(sorted(found, key=lambda row: (-row.decision, row.rank or 0)))


def _together(shown: Iterable[Shown]) -> list[tuple[Shown, tuple[str, ...]]]:
    """Each sample of a decision once, with all reasons why it is shown, the latest decision first."""
    found: dict[tuple[int, int], list[Shown]] = {}
    for one in shown:
        found.setdefault((-one.decision, one.sample), []).append(one)
    keys = sorted(found, key=lambda key: key[0])
    return [(found[key][0], tuple(dict.fromkeys(one.why for one in found[key]))) for key in keys]


def _row(shown: Shown, whys: tuple[str, ...], text: Text, domain: str, times: int) -> Sample:
    return Sample(
        sample=shown.sample,
        decision=shown.decision,
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
    )
