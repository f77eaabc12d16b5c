"""rows.py: which rows samples are made of, in which file; requests: what strategies read of columns."""

from __future__ import annotations

import numpy as np
import pytest

from dataflex_core import Domain, SetupContext
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig, UnmetNeed
from dataflex_core.rows import Origins, Row, Source, joined


def source(name, *sizes, places=None, asked=None):
    files = tuple(f"{name}-{k}.jsonl" for k in range(len(sizes)))
    counts = dict(zip(files, sizes, strict=True))

    def count(file):
        if asked is not None:
            asked.append(file)
        return counts[file]

    size = sum(sizes) if places is None else len(places)
    return Source(dataset=name, files=files, size=size, count=count, places=places)


def origins(sources, *samples):
    counts = [len(rows) for rows in samples]
    return Origins(
        sources=sources,
        starts=np.concatenate([[0], np.cumsum(counts)]).astype("i8"),
        rows=np.array([row for rows in samples for row in rows], dtype="i8"),
    )


def test_rows_of_samples_are_counted_once_where_they_are_known():
    packed = origins((source("a", 6),), [0, 1], [1, 2], [3], [-1], [-1])
    assert (packed.count(0, 5), packed.count(0, 2), packed.count(3, 5), packed.count(2, 2)) == (6, 3, 2, 0)


def test_a_row_is_counted_from_one_in_its_own_file():
    several = source("a", 3, 0, 2)
    assert [several.row(i) for i in range(5)] == [
        *(Row(dataset="a", file="a-0.jsonl", row=n) for n in (1, 2, 3)),
        *(Row(dataset="a", file="a-2.jsonl", row=n) for n in (1, 2)),
    ]


def test_files_are_counted_once_and_only_where_there_are_several():
    asked: list[str] = []
    source("a", 5, asked=asked).row(4)
    assert asked == []
    several = source("a", 3, 2, asked=asked)
    several.row(4), several.row(0)
    assert asked == ["a-0.jsonl"]


def test_a_part_of_the_files_is_numbered_as_the_files_are():
    part = source("a", 3, 4, places=np.array([1, 2, 3, 6]))
    assert [(part.row(i).file, part.row(i).row) for i in range(4)] == [
        ("a-0.jsonl", 2),
        ("a-0.jsonl", 3),
        ("a-1.jsonl", 1),
        ("a-1.jsonl", 4),
    ]


def test_samples_have_one_row_or_several_or_nobody_knows():
    found = origins((source("a", 3), source("b", 2)), [1], [4, 0], [-1])
    assert [str(row) for row in found.of(0)] == ["row 2 of a-0.jsonl"]
    assert [str(row) for row in found.of(1)] == ["row 2 of b-0.jsonl", "row 1 of a-0.jsonl"]
    assert found.of(2) is None


def test_selected_and_joined_samples_keep_their_rows():
    one = origins((source("a", 3),), [0], [1, 2], [-1])
    two = origins((source("b", 4),), [3], [0, 1])
    every = joined([one, two, one])
    assert [every.of(i) for i in (0, 1, 2, 5, 6, 7)] == [one.of(i) for i in (0, 1, 2)] * 2
    assert [every.of(3), every.of(4)] == [two.of(0), two.of(1)]
    some = np.array([4, 1, 1, 0])
    assert [every.select(some).of(i) for i in range(4)] == [every.of(i) for i in some]
    assert len(every.select(np.array([], dtype="i8"))) == 0


def test_a_column_is_had_by_name_and_one_that_is_not_carried_says_how():
    quality = np.array([0.5, 1.0])
    domain = Domain(name="a", start=0, size=2)
    context = SetupContext(domains=(domain,), targets=(), total_steps=1, seed=0, columns={"quality": quality})
    assert context.column("quality") is quality
    with pytest.raises(UnmetNeed, match=r"the column source.*dataflex.columns: \[quality, source\]"):
        context.column("source")


def test_columns_are_configured_as_a_list_of_names():
    values = {"dataflex.columns": ["quality", "lang"], "dataflex.domain_column": "source"}
    config = load_config(None, Overrides(values=values)).dataflex
    assert (config.columns, config.domain_column) == (("quality", "lang"), "source")


@pytest.mark.parametrize(("key", "value"), [("columns", "quality"), ("columns", [""]), ("domain_column", ["a"])])
def test_columns_that_are_no_names_are_refused(key, value):
    with pytest.raises(InvalidConfig, match=rf"dataflex.{key}"):
        load_config(None, Overrides(values={f"dataflex.{key}": value}))
