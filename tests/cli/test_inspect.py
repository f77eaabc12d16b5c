"""`dataflex inspect`: what a decision chose, in the terminal."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
from click.testing import CliRunner
from made_run import ROWS, made_run

from dataflex_cli.commands.inspect import short
from dataflex_cli.main import cli
from dataflex_core.errors import DataError, InvalidConfig
from dataflex_core.journal import open_run
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.text_file import TextFile
from dataflex_core.journal.texts import Helps, Piece, Shown, Text

pytestmark = pytest.mark.numeric


def called(*words):
    done = CliRunner().invoke(cli, ["inspect", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


@pytest.fixture
def run(tmp_path):
    return made_run(tmp_path)


def test_the_last_decision_is_shown_with_scores_and_rows(run):
    lines = called(run).splitlines()
    assert lines[0] == "decision 2, steps 3 to 3: 2 samples trained on"
    assert lines[1].split() == ["rank", "score", "times", "domain", "row", "text"]
    assert lines[2].split() == ["1", "-3", "1", "a", "a.json:4", "q4", "/", "ä", "4"]
    assert lines[3].split() == ["2", "-12", "1", "b", "b.json:5", "q5", "/", "ä", "5"]


def test_a_step_names_the_decision_that_it_trained_by(run):
    assert called(run, "--step", 2).startswith("decision 1, steps 2 to 2")
    assert called(run, "--step", 1).startswith("the warm-up, steps 1 to 1")
    with pytest.raises(DataError, match="has no plan of step 9: it is at step 3") as told:
        called(run, "--step", 9)
    assert "1 to 3" in str(told.value.hint)


def test_as_json_rows_are_whole(run):
    document = json.loads(called(run, "--json", "--top", 1))
    (sample,) = document.pop("samples")
    assert document == {"schema": 1, "decision": 2, "step": 2, "until": 3}
    assert sample.pop("row") == ROWS[3]
    assert sample.pop("file").endswith("a.json")
    assert (sample.pop("loss"), sample.pop("helps")) == (None, None)
    assert sample == {"rank": 1, "id": 3, "score": -3.0, "domain": "a", "times": 1, "dataset": "a", "number": 4}


def test_why_a_sample_was_chosen_is_shown_as_far_as_it_is_known(run):
    journal = open_run(run)
    file = TextFile(run / "dataflex", journal.start.run, print)
    pieces = (Piece(role="prompt", text="ask"), Piece(role="answer", text="the\nanswer \x1b[1m"))
    target = Text(sample=4, pieces=pieces, tokens=5, trained=3, cut=False, target="held", file="/d/held.json", row=5)
    helps = Helps(target="held", sample=4, cosine=0.314, means={"held": 0.25})
    other = replace(helps, sample=9)
    shown = [Shown(decision=2, sample=3, why="highest", loss=2.5, helps=helps)]
    file.write([target], [Shown(decision=1, sample=3, why="highest", loss=9.0), *shown])
    lines = called(run).splitlines()
    assert lines[1].split() == ["rank", "score", "times", "loss", "helps", "most", "domain", "row", "text"]
    assert "2.5  0.31 held.json:5 the answer \N{REPLACEMENT CHARACTER}[1m" in lines[2]
    assert lines[3].split() == ["2", "-12", "1", "b", "b.json:5", "q5", "/", "ä", "5"]
    first, second = json.loads(called(run, "--json"))["samples"]
    assert (first["loss"], second["loss"], second["helps"]) == (2.5, None, None)
    assert first["helps"] == asdict(helps) | {"file": "/d/held.json", "row": 5, "text": "the\nanswer \x1b[1m"}
    file.write([], [replace(shown[0], helps=other)])
    assert "0.31 held 9 " in called(run)


def test_what_is_not_finite_is_no_number(run):
    journal = open_run(run)
    table = np.full((15, 2), np.nan, dtype=np.float32)
    table[3, 1], table[12] = 7.0, np.inf
    ScoreFiles(run / "dataflex", run=lambda: journal.start.run, notice=print).write(
        2, np.arange(15), table, [12, 3], step=2
    )
    helps = Helps(target="held", sample=4, cosine=math.nan, means={"held": 0.25})
    known = Helps(target="held", sample=4, cosine=0.5, means={"held": 0.25, "other": math.inf})
    shown = [Shown(decision=2, sample=3, why="highest", loss=math.nan, helps=helps)]
    shown.append(Shown(decision=2, sample=12, why="random", loss=1.0, helps=known))
    TextFile(run / "dataflex", journal.start.run, print).write([], shown)

    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    first, second = json.loads(called(run, "--json"), parse_constant=no_constant)["samples"]
    assert (first["id"], first["score"], first["loss"], first["helps"]) == (3, 7.0, None, None)
    assert (second["id"], second["score"], second["loss"], second["rank"]) == (12, None, 1.0, 2)
    assert second["helps"]["means"] == {"held": 0.25}
    assert "nan" not in called(run)


def test_a_number_that_two_decisions_have_is_not_taken_for_one(run):
    """As where a schedule changes as a run goes on: an interval is cut short, and the next begins with its number."""
    journal = open_run(run)
    told = journal.path.read_text()
    journal.path.write_text(told.replace('"decision": 2', '"decision": 1'))
    kept = ScoreFiles(run / "dataflex", run=lambda: journal.start.run, notice=print)
    file = TextFile(run / "dataflex", journal.start.run, print)
    for step, score in ((1, 5.0), (2, 7.0)):
        kept.write(1, np.arange(15), np.full(15, score, dtype=np.float32), np.array([2, 3, 12]), step=step)
        shown = [Shown(decision=1, step=step, sample=12, why="random", loss=score)]
        file.write([], shown, decided=1, after=step)
    for step, score in ((2, 5.0), (3, 7.0)):
        samples = json.loads(called(run, "--json", "--step", step))["samples"]
        assert {one["score"] for one in samples} == {score}
        assert {one["id"]: one["loss"] for one in samples}[12] == score


def test_records_of_another_version_are_passed_over(run):
    journal = open_run(run)
    file = TextFile(run / "dataflex", journal.start.run, print)
    file.write([], [Shown(decision=2, sample=3, why="highest", loss=2.5)])
    with file.path.open("a") as lines:
        lines.write('{"shown": {"decision": 2, "sample": 12, "why": "highest", "loss": 1.5, "more": 1}}\n')
        lines.write('{"shown": {"decision": 2, "sample": "x", "why": "highest"}}\n{"text": 5}\n{"decided": []}\n')
    assert [sample["loss"] for sample in json.loads(called(run, "--json"))["samples"]] == [2.5, 1.5]


def test_a_domain_can_be_asked_for(run):
    assert [s["id"] for s in json.loads(called(run, "--domain", "b", "--json"))["samples"]] == [12]
    with pytest.raises(InvalidConfig, match="the run has no domain c"):
        called(run, "--domain", "c")


def test_without_rows_or_their_files_the_rest_is_shown(run, tmp_path):
    (tmp_path / "a.json").unlink()
    assert called(run).splitlines()[2].split() == ["1", "-3", "1", "a", "a.json:4"]
    for file in (run / "dataflex" / "rows").iterdir():
        file.unlink()
    assert called(run).splitlines()[2].split() == ["1", "-3", "1", "a"]


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(DataError, match="has no journal"):
        called(tmp_path)


def test_a_row_is_one_line_that_can_be_printed():
    assert (
        short({"a": "x\n\ny", "b": [{"c": "\x1b[31mz"}, 3, None], "d": " "}) == "x y / \N{REPLACEMENT CHARACTER}[31mz"
    )
    assert short("w" * 200, 10) == "w" * 9 + "…"
