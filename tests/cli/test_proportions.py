"""`dataflex proportions`, and a run that takes them over: what a mixer came to, out of its journal."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from click.testing import CliRunner

from dataflex_cli.compare.build import comparison_of
from dataflex_cli.main import cli
from dataflex_cli.report.build import report_of
from dataflex_cli.report.pasted import section_of
from dataflex_cli.report.reading import read_run
from dataflex_core.domains import Domain
from dataflex_core.errors import DataError, InvalidConfig, UsageError
from dataflex_core.journal import Decision, Resume, Start, Step, StrategyFact
from dataflex_core.journal.mixed import mean_proportions
from dataflex_core.journal.writer import Journal
from dataflex_core.requests import SetupContext
from dataflex_strategies.mixers.static import StaticMixer, StaticParams

pytestmark = pytest.mark.numeric


def mixed_run(folder, *, mixer="doremi", lead=0.5, done=5, means=None, weights=None):
    """The output folder of a run of a warm-up of one step and two intervals of two steps, ``done`` of them trained."""
    journal = Journal(folder / "dataflex", owner=True, report=lambda event, past: None)
    counts = {"steps": 5, "warmup_steps": 1, "update_steps": 2, "decisions": 2, "global_batch": 2, "ranks": 1}
    costs = {"judged": 0, "decision_cost": 0.0, "step_cost": 0.0, "seed": 0}
    facts = () if mixer is None else (StrategyFact(kind="mixer", name=mixer, distribution="d", version="1"),)
    costs["mean_tokens"] = means
    journal.write(Start(run=journal.run, strategies=facts, domains={"a": 10, "b": 5}, targets={}, **counts, **costs))
    weights = weights or [None, {"a": 1.0, "b": 1.0}, {"a": 0.5, "b": 1.5}]
    intervals = [(0, 1), (1, 3), (3, 5)]
    for number, (start, until) in enumerate(intervals):
        shares = {"a": 0.9, "b": 0.1} if number == 0 else {"a": 0.5, "b": 0.5}
        asked = {"proportions": shares, "judged": 0, "shortages": (), "plan": "", "seconds": 0.0}
        notes = {"mixer": {"reference_lead": lead}} if number else {}
        told = {"chosen": {"a": 2, "b": 2}, "loss_weights": weights[number], "notes": notes}
        if start < done:
            journal.write(Decision(decision=number, step=start, until=until, **told, **asked))
        for step in range(start + 1, min(until, done) + 1):
            journal.write(Step(step=step, samples=(0, 1)))
    return folder


def gone_on_with(folder, *, at, until, shares, domains=None, strategies=None, mixer="doremi"):
    """A `mixed_run` of three steps that goes on from step ``at``, decides anew amid an interval, and trains on."""
    journal = Journal(mixed_run(folder, done=3, mixer=mixer) / "dataflex", owner=True, report=lambda event, past: None)
    changed = () if strategies is None else ("mixer was doremi, is odm",)
    resume = Resume(step=at, checkpoint="checkpoint", domains=domains, strategies=strategies, changed=changed)
    journal.go_on(journal.path, journal.path.stat().st_size, resume)
    asked = {"judged": 0, "shortages": (), "plan": "", "seconds": 0.0, "chosen": dict.fromkeys(shares, 2)}
    journal.write(Decision(decision=2, step=at, until=until, proportions=shares, **asked))
    for step in range(at + 1, until + 1):
        journal.write(Step(step=step, samples=(0, 1)))
    return folder


def called(*words):
    done = CliRunner().invoke(cli, ["proportions", *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.mark.parametrize("name", ["two\nlines: {", "a\u2028b", "a\x85b", "\ttab"])
def test_what_is_printed_can_be_read_whatever_domains_are_called(tmp_path, name):
    journal = mixed_run(tmp_path) / "dataflex" / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"a"', json.dumps(name)))
    for words in ((), ("--last",)):
        section = yaml.safe_load(called(tmp_path, *words).stdout)["dataflex"]["mixer"]
        assert set(section["proportions"]) == {name, "b"}


@pytest.mark.parametrize(
    ("words", "done", "expected"),
    [
        ((), 5, {"a": 0.375, "b": 0.625}),
        (("--last",), 5, {"a": 0.25, "b": 0.75}),
        ((), 4, {"a": 0.416667, "b": 0.583333}),
    ],
)
def test_what_is_printed_is_a_section_to_run(tmp_path, words, done, expected):
    printed = called(mixed_run(tmp_path, done=done), *words)
    assert yaml.safe_load(printed.stdout) == {"dataflex": {"mixer": {"name": "static", "proportions": expected}}}
    assert printed.stderr == ""


@pytest.mark.parametrize("means", [None, {"a": 20.0, "b": 9.5}], ids=["samples", "tokens"])
def test_a_report_pastes_the_same(tmp_path, means):
    folder = mixed_run(tmp_path, means=means)
    printed = called(folder).stdout.partition("\n")[2]
    assert report_of(read_run(folder)).proportions == printed
    assert ("unit: tokens" in printed) == (means is not None)


@pytest.mark.parametrize(
    "names",
    [
        ("code \U0001f600", "中文", "\U00020bb7"),
        ("a: {b} #", "off", "1", "-0x10", "1e5", "nan", "-", "---", "~", "'", '"', "x\ty"),
        ("w" * 90 + " " + "v" * 90, "under_score", "a-b"),
    ],
    ids=["beyond ASCII", "not plain", "long"],
)
def test_what_is_pasted_is_read_back_whatever_names_and_shares_are(names):
    shares = {name: 10.0**-i for i, name in enumerate(names)}
    text = section_of(shares, "samples")
    read = yaml.safe_load(text)["dataflex"]["mixer"]["proportions"]
    assert read == pytest.approx(shares)
    assert all(type(name) is str for name in read)
    assert min(read.values()) > 0


def test_as_json_both_are_there_and_a_reference_that_is_no_better_is_told(tmp_path):
    printed = called(mixed_run(tmp_path, lead=-0.1), "--json")
    document = json.loads(printed.stdout)
    assert document.pop("mean") == pytest.approx({"a": 0.375, "b": 0.625})
    assert document.pop("last") == {"a": 0.25, "b": 0.75}
    assert document.pop("reference_lead") == pytest.approx(-0.1)
    assert document == {"schema": 1, "mixer": "doremi", "steps": 4, "unit": "samples"}
    assert "no better than this run's" in printed.stderr


@pytest.mark.parametrize(
    ("made", "said"), [({"mixer": None}, "without a mixer"), ({"done": 1}, "has decided about no step yet")]
)
def test_a_run_that_mixed_nothing(tmp_path, made, said):
    with pytest.raises(DataError, match=said):
        called(mixed_run(tmp_path, **made))


NOTHING = {"a": 0.0, "b": 0.0}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([None, NOTHING, {"a": 0.5, "b": 1.5}], {"a": 0.25, "b": 0.75}),
        ([None, {"a": 0.5, "b": 1.5}, NOTHING], {"a": 0.25, "b": 0.75}),
        ([None, {"a": 2.0, "b": 0.0}, NOTHING], {"a": 1.0, "b": 0.0}),
    ],
)
def test_steps_whose_loss_weighed_nothing_do_not_count(tmp_path, weights, expected):
    document = json.loads(called(mixed_run(tmp_path, weights=weights), "--json").stdout)
    assert (document["steps"], document["mean"], document["last"]) == (2, expected, expected)


def test_a_run_whose_loss_weighed_nothing_has_no_proportions(tmp_path):
    with pytest.raises(DataError, match="weighed nothing") as refused:
        mean_proportions(str(mixed_run(tmp_path, weights=[None, NOTHING, NOTHING])))
    assert refused.value.hint


def test_an_interval_that_was_cut_short_counts_as_far_as_it_was_trained(tmp_path):
    document = json.loads(called(gone_on_with(tmp_path, at=2, until=5, shares={"a": 0.9, "b": 0.1}), "--json").stdout)
    assert document["steps"] == 4, "one of two, and three"
    assert document["mean"] == pytest.approx({"a": 0.8, "b": 0.2})
    assert document["last"] == pytest.approx({"a": 0.9, "b": 0.1})


@pytest.mark.parametrize("shares", [{"a": 0.3, "new": 0.7}, {"a": 0.2, "b": 0.3, "new": 0.5}, {"a": 0.4, "b": 0.6}])
def test_of_a_run_that_went_on_with_other_data_its_proportions_since_then_count(tmp_path, shares):
    folder = gone_on_with(tmp_path, at=2, until=5, shares=shares, domains=dict.fromkeys(shares, 7))
    printed = called(folder)
    assert yaml.safe_load(printed.stdout)["dataflex"]["mixer"]["proportions"] == pytest.approx(shares)
    assert "mean of 3 steps" in printed.stdout
    assert printed.stderr == "of the steps after 2, since when it trains on other data\n"
    assert mean_proportions(str(folder)) == pytest.approx(shares)


@pytest.mark.parametrize("before", [None, "doremi"])
def test_of_a_run_that_went_on_with_another_mixer_its_own_proportions_count(tmp_path, before):
    odm = StrategyFact(kind="mixer", name="odm", distribution="d", version="1")
    shares = {"a": 0.3, "b": 0.7}
    folder = gone_on_with(tmp_path, at=2, until=5, shares=shares, strategies=(odm,), mixer=before)
    document = json.loads(called(folder, "--json").stdout)
    assert (document["mixer"], document["steps"]) == ("odm", 3)
    assert document["mean"] == pytest.approx(shares)
    assert mean_proportions(str(folder)) == pytest.approx(shares)


def test_of_a_run_that_went_on_with_another_selector_all_of_its_mixer_counts(tmp_path):
    facts = [StrategyFact(kind=kind, name="doremi", distribution="d", version="1") for kind in ("mixer", "selector")]
    folder = gone_on_with(tmp_path, at=2, until=5, shares={"a": 0.9, "b": 0.1}, strategies=tuple(facts))
    assert json.loads(called(folder, "--json").stdout)["steps"] == 4


def test_a_run_that_went_on_with_other_strategies_says_so(tmp_path):
    odm = StrategyFact(kind="mixer", name="odm", distribution="d", version="1")
    shares = {"a": 0.5, "b": 0.5}
    other = read_run(gone_on_with(tmp_path / "other", at=2, until=5, shares=shares, strategies=(odm,)))
    as_before = read_run(gone_on_with(tmp_path / "before", at=2, until=5, shares=shares))
    data, said = report_of(other), "After step 2 it went on with mixer odm: mixer was doremi, is odm."
    assert said in data.words
    assert data.provenance["resumes"][0]["strategies"][0]["name"] == "odm"
    assert report_of(as_before).run.changes == ()
    compared = comparison_of([("other", other), ("before", as_before)])
    assert [group.name for group in compared.groups] == ["mixer doremi, changed after step 2", "mixer doremi"]
    assert f"other: {said}" in compared.remarks


def begun(folder, *names):
    domains = tuple(Domain(name=name, start=10 * k, size=10) for k, name in enumerate(names))
    mixer = StaticMixer(StaticParams(from_run=str(folder)))
    mixer.setup(SetupContext(domains=domains, targets=(), total_steps=5, seed=0, earlier=mean_proportions))
    return mixer


def test_a_run_takes_over_what_another_came_to_and_keeps_it(tmp_path):
    mixer = begun(mixed_run(tmp_path / "run"), "b", "a")
    assert mixer.mix(None).tolist() == pytest.approx([0.625, 0.375])
    for name, kept in {"run": [0.625, 0.375], "another": [0.5, 0.5]}.items():
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        resumed = begun(mixed_run(tmp_path / name, done=3), "b", "a")
        assert resumed.mix(None).tolist() == [0.5, 0.5]
        resumed.load_state_dict(mixer.state_dict())
        assert resumed.mix(None).tolist() == pytest.approx(kept)


def test_a_run_that_takes_over_proportions_that_say_little_is_told(tmp_path):
    doubts = []
    mean_proportions(str(mixed_run(tmp_path / "good")), doubts=doubts.append)
    assert doubts == []
    mean_proportions(str(mixed_run(tmp_path / "bad", lead=-0.1)), doubts=doubts.append)
    (said,) = doubts
    assert said.startswith(f"{tmp_path / 'bad'}: the reference model was no better than this run's (-0.1 by token)")


def test_a_run_of_other_domains_is_taken_over_by_none(tmp_path):
    with pytest.raises(UsageError, match="proportions and domains differ in b, c"):
        begun(mixed_run(tmp_path), "a", "c")


def test_shares_of_tokens_are_for_runs_whose_shares_are_of_tokens(tmp_path):
    folder = mixed_run(tmp_path, means={"a": 4.0, "b": 9.0})
    shares = {"a": 0.375, "b": 0.625}
    mixer = {"name": "static", "proportions": shares}
    assert yaml.safe_load(called(folder).stdout) == {"dataflex": {"unit": "tokens", "mixer": mixer}}
    assert mean_proportions(str(folder), unit="tokens") == pytest.approx(shares)
    with pytest.raises(InvalidConfig, match="are shares of tokens, those of this run of samples"):
        mean_proportions(str(folder))
