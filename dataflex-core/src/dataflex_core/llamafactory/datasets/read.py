"""Which rows of a data set a run reads, in LLaMA-Factory's order: a split, of it a draw, of that the first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dataflex_core.llamafactory.datasets.entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The rows at ``places``, from 0 in the data set: ranges that do not overlap.

    ``certain`` is whether each of them is read; else some of them are drawn, and which is not known.
    """

    places: Sequence[range]
    certain: bool = True

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(map(len, self.places))

    def has(self, place: int) -> bool:
        """Whether the row may be read."""
        return any(place in places for places in self.places)


def read_of(entry: Entry, rows: int, limit: int | None, *, streamed: bool, counted: bool) -> Read:
    """What is read of ``rows`` rows, with ``max_samples`` at ``limit``; none are drawn where they are ``streamed``.

    ``counted`` is whether there are no more of them, in parts of a file that cannot be looked into. Raises ValueError
    for a split that nobody understands, or of rows that are not counted.
    """
    if _asks_for_part(entry) and not counted:
        raise ValueError("a part of nobody knows how many")
    places = places_in_split(str(entry.split), {"train": rows}) or [range(rows)]
    draws = None if streamed else entry.num_samples
    if draws is None:
        return Read(places=_distinct(places if limit is None else _first(places, limit)))
    taken = draws if limit is None else min(draws, limit)
    # Each row is drawn once before any is drawn again.
    return Read(places=_distinct(places), certain=counted and taken >= sum(map(len, places)))


def cut_of(entry: Entry, limit: int | None, *, streamed: bool) -> int | None:
    """At which place of a data set reading ends for sure, however many rows there are; None where nothing says so."""
    draws = entry.num_samples is not None and not streamed
    return None if draws or _asks_for_part(entry) else limit


def places_in_split(split: str, sizes: Mapping[str, int]) -> list[range]:
    """Where in all files the rows lie, from 0 and in their order, if ``split`` asks for a part of them, else nothing.

    As in ``train[:100]``, or ``train[:10%]+train[-5:]``, whose parts may overlap. ``sizes`` are those of whole splits.
    Raises ValueError for what nobody understands.
    """
    if "[" not in split:
        return []
    from datasets import ReadInstruction

    return [range(part.from_, part.to) for part in ReadInstruction.from_spec(split).to_absolute(dict(sizes))]


def _asks_for_part(entry: Entry) -> bool:
    return "[" in str(entry.split)


def _first(parts: Iterable[range], limit: int) -> list[range]:
    taken: list[range] = []
    for part in parts:
        taken.append(part[: max(0, limit)])
        limit -= len(part)
    return taken


def _distinct(parts: Iterable[range]) -> list[range]:
    found: list[range] = []
    end = 0
    for part in sorted(parts, key=lambda part: part.start):
        left = range(max(end, part.start), part.stop)
        if left:
            found.append(left)
            end = left.stop
    return found
