"""`dataflex score`, killed: the same command goes on, and writes what one that was not killed writes."""

from __future__ import annotations

import pytest

from dataflex_core.score_file import open_scores
from faults.bench import Bench
from faults.machine import Machine

pytestmark = [pytest.mark.numeric, pytest.mark.slow]

COLUMNS = ["id", "score", "row", "digest"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("score")
    with Machine(folder) as machine:
        yield machine


@pytest.fixture(scope="module")
def score(machine, tmp_path_factory):
    """Call the command with two checkpoints of one run: how it ended, and its file."""
    folder = tmp_path_factory.mktemp("bench")
    trial = Bench(folder, machine).trial("select-loss", save_total_limit=None)
    ended = trial.run()
    assert ended.code == 0, ended.text[-3000:]
    words = [word for step in (2, 8) for word in ("--checkpoint", str(trial.output / f"checkpoint-{step}"))]

    def call(out, point=None):
        asked = ["score", str(trial.config), "--selector", "less", *words, "-o", str(folder / out)]
        return machine.dataflex(*asked, point=point), folder / out

    return call


@pytest.fixture(scope="module")
def whole(score):
    ended, out = score("whole.parquet")
    assert ended.code == 0, ended.text[-3000:]
    return open_scores(out)


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ("batch:7", -9),
        ("batch:30", -9),
        ("half:*-0.tmp:3", -9),
        ("term@batch:30", 143),
    ],
    ids=["in the first pass", "with the second checkpoint", "in partial results", "asked to end"],
)
def test_a_command_that_was_killed_goes_on(score, whole, point, code):
    name = f"{point.replace('*', '').replace(':', '-')}.parquet"
    ended, out = score(name, point=point)
    assert ended.code == code, ended.text[-3000:]
    assert not out.exists()
    if code == 143:
        assert "the same command goes on from what was judged" in ended.text
    ended, out = score(name)
    assert ended.code == 0, ended.text[-3000:]
    assert "samples' results of a pass that was cut short are used" in ended.text
    found, wanted = open_scores(out), whole
    assert found.about == wanted.about
    for column, values in wanted.read(COLUMNS).items():
        assert found.read(COLUMNS)[column].tolist() == values.tolist(), column
