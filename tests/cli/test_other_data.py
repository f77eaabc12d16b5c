"""A run that went on with other data, more or less of it: what is told of samples is told of those it has now."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from made_run import made_run, write_file, write_index

from dataflex_cli.main import cli
from dataflex_core.errors import DataError
from dataflex_core.journal import Decision, Logged, Resume, ScoresFact, Step, Trained, open_run
from dataflex_core.journal.pool_facts import PoolFacts, write_pool_facts
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.tally import domains_of
from dataflex_core.journal.text_file import TextFile
from dataflex_core.journal.texts import Piece, Shown, Text
from dataflex_core.journal.writer import Journal
from dataflex_core.pool_rows import rows_file, write_rows
from dataflex_core.rows import Origins, Source
from dataflex_core.score_file import About

pytestmark = pytest.mark.numeric

SIZES = {"more": {"a": 10, "c": 30}, "less": {"c": 4}, "as many": {"a": 10, "b": 5}}
FACT = ScoresFact(count=4, lost=0, mean=0.0, spread=1.0, length_correlation=None)
COUNTS = {"judged": 4, "shortages": (), "plan": "", "seconds": 1.0, "proportions": None, "scores": FACT}


def called(*words):
    done = CliRunner().invoke(cli, [*map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def shows(folder, run, sample, text, decision=2):
    """Add to the texts of a run a sample that a decision shows."""
    pieces = (Piece(role="answer", text=text),)
    known = Text(sample=sample, pieces=pieces, tokens=3, trained=3, cut=False)
    file = TextFile(folder / "dataflex", run, print)
    file.write([known], [Shown(decision=decision, sample=sample, why="random")], decided=decision)


def went_on(tmp_path, domains, *, steps=1, scores=True, rows=True):
    """The output folder of a `made_run` that decided anew amid an interval, with other ``domains`` than before.

    All their samples but the last are of one file, backwards; it trained ``steps`` more steps on the last sample.
    """
    output, size = made_run(tmp_path), sum(domains.values())
    folder, run = output / "dataflex", open_run(output).start.run
    shows(output, run, 3, "old")
    new = tmp_path / "c.json"
    write_file(new, [{"instruction": f"new {i}"} for i in range(1, size + 1)])
    write_index(tmp_path, c={"file_name": "c.json"})
    journal = Journal(folder, owner=True, report=lambda event, past: None)
    journal.go_on(journal.path, journal.path.stat().st_size, Resume(step=3, checkpoint="c", domains=domains))
    TextFile(folder, run, print).go_on(3, other=True)
    if rows:
        origins = Origins(
            sources=(Source(dataset="c", files=(str(new),), size=size, count=len),),
            starts=np.arange(size + 1),
            rows=np.arange(size)[::-1].copy(),
        )
        write_rows(rows_file(folder, run), About(judge="", dataset_dir=str(tmp_path)), domains_of(domains), origins)
        write_pool_facts(folder, run, PoolFacts(lengths=np.arange(size, dtype=np.int32) + 5, cutoff_len=90), print)
    if steps:
        last = size - 1
        chosen = dict.fromkeys(domains, 0) | {list(domains)[-1]: 2}
        journal.write(Decision(decision=2, step=3, until=3 + steps, chosen=chosen, **COUNTS))
        for step in range(4, 4 + steps):
            journal.write(Step(step=step, samples=(last, last)))
        journal.write(Trained(after=3, step=3 + steps, samples=chosen, tokens=dict.fromkeys(domains, 7)))
        journal.write(Logged(step=3 + steps, means={}, training={"loss": 2.0}, seconds=4.0, deciding=1.0))
        shows(output, run, 3, "new")
    if steps and scores:
        kept = ScoreFiles(folder, run=lambda: run, notice=print)
        kept.go_on(folder / "scores", [0, (folder / "scores" / f"{run}-00000.arrows").stat().st_size])
        ids = np.arange(size - 4, size)
        kept.write(2, ids, np.arange(4, dtype=np.float32), np.array([last, last]), step=3)
    return output


@pytest.mark.parametrize("domains", SIZES.values(), ids=SIZES)
def test_a_report_is_of_the_data_that_it_has_now(tmp_path, domains):
    output = went_on(tmp_path, domains)
    said = called("report", output).stdout
    assert "After step 3 it went on with other data: samples, domains and decisions are those since then" in said
    on = f"on 2 samples, 1 of them different, from a pool of {sum(domains.values())} samples"
    assert f"The run has trained 4 of 3 steps so far, {on}" in said
    assert "1 decision chose what 1 step trained on, judging 4 samples" in said
    document = json.loads((output / "dataflex" / "report.json").read_text())
    assert document["run"]["domains"] == domains
    assert document["run"]["since"] == 3
    assert [(one["decision"], one["step"], one["new"], one["seen"]) for one in document["decisions"]] == [(2, 3, 1, 1)]
    assert document["repeats"] == [[2, 1]]
    assert document["lengths"]["chosen_mean"] == sum(domains.values()) + 4
    assert [(one["decision"], one["count"]) for one in document["scores"]] == [(2, 4)]
    assert [(one["sample"], one["pieces"]) for one in document["samples"]] == [(3, [["answer", "new"]])]
    assert set(document["token_shares"]) == set(domains)
    assert document["cost"]["deciding_seconds"] == 1.0, "those before took none; of the whole run"


@pytest.mark.parametrize("domains", SIZES.values(), ids=SIZES)
def test_what_it_chose_of_that_data_is_exported(tmp_path, domains):
    output = went_on(tmp_path, domains)
    for number, words in enumerate(([], ["--top", "1"])):
        best = tmp_path / f"best{number}.jsonl"
        done = called("export", output, "-o", best, *words)
        assert best.read_text() == '{"instruction": "new 1"}\n', "the last sample is the first row"
        assert "of the steps after 3, since when it trains on other data" in done.stderr


def test_what_cannot_be_told_of_that_data_is_not_exported(tmp_path):
    output = went_on(tmp_path, SIZES["less"], rows=False)
    with pytest.raises(DataError, match="kept the rows of what it had before alone"):
        called("export", output, "-o", tmp_path / "best.jsonl")
    (tmp_path / "early").mkdir()
    output = went_on(tmp_path / "early", SIZES["less"], steps=0)
    with pytest.raises(DataError, match="has trained on nothing that it chose yet"):
        called("export", output, "-o", tmp_path / "best.jsonl")
    (tmp_path / "unscored").mkdir()
    output = went_on(tmp_path / "unscored", SIZES["less"], scores=False)
    with pytest.raises(DataError, match="has no scores"):
        called("export", output, "--top", "1", "-o", tmp_path / "best.jsonl")
    assert not (tmp_path / "best.jsonl").exists()


@pytest.mark.parametrize("domains", SIZES.values(), ids=SIZES)
def test_a_decision_on_that_data_is_shown(tmp_path, domains):
    output, size = went_on(tmp_path, domains), sum(domains.values())
    done = called("inspect", output)
    assert done.stdout.splitlines()[0] == "decision 2, steps 4 to 4: 1 sample trained on"
    assert done.stdout.splitlines()[2].split() == ["1", "3", "2", list(domains)[-1], "c.json:1", "new", "1"]
    assert done.stderr == "since step 3 the run trains on other data\n"
    (sample,) = json.loads(called("inspect", output, "--json", "--step", 4).stdout)["samples"]
    assert (sample["id"], sample["times"], sample["row"]) == (size - 1, 2, {"instruction": "new 1"})
    with pytest.raises(DataError, match="has trained on other data since step 3: which samples step 2 had"):
        called("inspect", output, "--step", 2)
    with pytest.raises(DataError, match="has no plan of step 9"):
        called("inspect", output, "--step", 9)


def test_before_it_has_trained_on_that_data_there_is_nothing_to_show(tmp_path):
    output = went_on(tmp_path, SIZES["more"], steps=0)
    with pytest.raises(DataError, match="has trained on nothing yet"):
        called("inspect", output)
    assert "The run has trained 3 of 3 steps so far, on 0 samples" in called("report", output).stdout
    document = json.loads((output / "dataflex" / "report.json").read_text())
    assert (document["decisions"], document["samples"], document["scores"]) == ([], [], [])


@pytest.mark.parametrize("domains", SIZES.values(), ids=SIZES)
def test_runs_are_compared_by_the_data_that_they_have_now(tmp_path, domains):
    (tmp_path / "whole").mkdir()
    output, whole = went_on(tmp_path, domains), made_run(tmp_path / "whole")
    page = tmp_path / "both.html"
    said = called("compare", output, whole, "-o", page).stdout
    assert "After step 3 it went on with other data" in said
    document = json.loads(page.with_suffix(".json").read_text())
    first, second = document["runs"]
    assert first["shares"] == dict.fromkeys(domains, 0.0) | {list(domains)[-1]: 1.0}
    assert (first["samples"], first["step"], second["samples"]) == (2, 4, 6)
    assert first["group"] != second["group"]
    assert document["overlap"]["why_not"] is not None


def test_texts_that_may_be_of_other_data_are_not_shown(tmp_path):
    output = went_on(tmp_path, SIZES["more"])
    run = open_run(output).start.run
    path = output / "dataflex" / "texts" / f"{run}.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if '"since"' not in line))  # as an earlier version left it
    called("report", output)
    assert json.loads((output / "dataflex" / "report.json").read_text())["samples"] == []
