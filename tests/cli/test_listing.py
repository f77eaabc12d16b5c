"""Listing is light, and says what a user needs to choose."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from dataflex_cli.main import cli
from dataflex_core.catalog import discover
from dataflex_core.spec import Need

HEAVY = ("torch", "transformers", "numpy", "pydantic", "llamafactory", "omegaconf", "datasets")
RECORDS = discover().of_kind()


def _imported(*words):
    code = (
        "import sys\n"
        "from dataflex_cli.main import cli\n"
        f"try: cli({list(words)!r})\n"
        "except SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stderr.strip().splitlines()[-1], done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["init", "--help"],
        ["migrate", "--help"],
        ["validate", "--help"],
        ["schema", "--help"],
        ["doctor", "--help"],
        ["store", "--help"],
        ["plugins", "list"],
        ["plugins", "install", "x", "--dry-run"],
        ["completion", "fish"],
        ["new", "--help"],
        ["list-strategies"],
        ["list-strategies", "--json"],
        *(["describe", record.spec.name] for record in RECORDS),
        *(["describe", record.spec.name, "--json"] for record in RECORDS[:1]),
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported(words):
    heavy, output = _imported(*words)
    assert heavy == "[]"
    assert output


@pytest.mark.parametrize("record", [r for r in RECORDS if r.spec.needs_for is None], ids=lambda r: r.id)
def test_the_list_and_the_description_say_the_same_needs(record):
    """The list imports no strategy, so that what a strategy observes is declared."""
    words = (["list-strategies", "--json"], ["describe", record.spec.name, "--kind", record.spec.kind.value, "--json"])
    told = [json.loads(CliRunner().invoke(cli, list(each)).stdout)["strategies"] for each in words]
    kind = record.spec.kind.value
    listed, described = (
        [one["needs"] for one in each if (one["kind"], one["id"]) == (kind, record.id)] for each in told
    )
    assert listed == described


@pytest.mark.parametrize("name", ["ado", "odm", "sheared"])
def test_mixers_that_observe_are_listed_with_training_losses(name):
    (record,) = [one for one in RECORDS if one.spec.name == name]
    assert Need.TRAINING_LOSSES in record.spec.needs


def test_train_is_run_under_another_name():
    assert cli.get_command(None, "train") is cli.get_command(None, "run")


def test_the_list_in_json():
    document = json.loads(CliRunner().invoke(cli, ["list-strategies", "--json"]).output)
    assert document["schema"] == 1
    assert document["faults"] == []
    offered = {(s["kind"], s["name"]) for s in document["strategies"]}
    assert {("selector", "less"), ("mixer", "random"), ("weighter", "loss"), ("selector", "loss")} <= offered
    assert all(
        s["distribution"] == "dataflex-strategies" and s["version"] and s["summary"] for s in document["strategies"]
    )


@pytest.mark.parametrize("kind", ["selector", "mixer", "weighter"])
def test_the_list_of_a_kind(kind):
    document = json.loads(CliRunner().invoke(cli, ["list-strategies", "--kind", kind, "--json"]).output)
    assert {s["kind"] for s in document["strategies"]} == {kind}
    table = CliRunner().invoke(cli, ["list-strategies", "--kind", kind]).output
    assert all(s["name"] in table and s["distribution"] in table for s in document["strategies"])


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r.spec.kind}-{r.spec.name}")
def test_a_description_names_every_parameter(record):
    words = ["describe", record.spec.name, "--kind", record.spec.kind.value]
    text = CliRunner().invoke(cli, words).output
    (document,) = json.loads(CliRunner().invoke(cli, [*words, "--json"]).output)["strategies"]
    assert document["description"]
    assert record.spec.reference in text
    for parameter in document["parameters"]:
        assert parameter["help"], f"{parameter['name']} says nothing about itself"
        assert f"  {parameter['name']}: " in text
        assert parameter["help"] in text


def test_a_name_of_two_kinds_is_described_twice():
    document = json.loads(CliRunner().invoke(cli, ["describe", "loss", "--json"]).output)
    assert [s["kind"] for s in document["strategies"]] == ["selector", "weighter"]


def test_what_a_plugin_prints_does_not_spoil_the_json(tmp_path, monkeypatch):
    (tmp_path / "dfx_talkative.py").write_text("print('hello')\nfrom dataflex_strategies.plugin import *\n")
    info = tmp_path / "dfx_talkative-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dfx-talkative\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dataflex]\ntalkative = dfx_talkative\n")
    monkeypatch.syspath_prepend(tmp_path)
    document = json.loads(CliRunner().invoke(cli, ["list-strategies", "--json"]).stdout)
    assert {s["distribution"] for s in document["strategies"]} == {"dataflex-strategies", "dfx-talkative"}
    done = CliRunner().invoke(cli, ["describe", "less", "--json"])
    assert [s["id"] for s in json.loads(done.stdout)["strategies"]] == [
        "dataflex-strategies/less",
        "dfx-talkative/less",
    ]
