"""`dataflex schema` accepts what a run accepts, and refuses what it refuses."""

from __future__ import annotations

import json

import jsonschema
import pytest
from click.testing import CliRunner
from support import offering

from dataflex_cli.main import cli
from dataflex_core.catalog import discover
from dataflex_core.config.params import describe

RECORDS = discover().of_kind()


def _schema(*words):
    made = json.loads(CliRunner().invoke(cli, ["schema", *map(str, words)]).stdout)
    jsonschema.Draft202012Validator.check_schema(made)
    return made


@pytest.fixture(scope="module")
def section():
    return jsonschema.Draft202012Validator(_schema("--section"))


GOOD = [
    {},
    {"warmup_steps": 3, "updates": None, "candidates": "4x", "exhaustion": "error"},
    {"candidates": 4, "warmup_proportions": {"wiki": 2, "code": 1}, "allow_changed": ["data"]},
    {"selector": "less", "mixer": None},
    {"selector": "dataflex-strategies/less"},
    {"selector": {"name": "loss", "focus": "low", "boost": 2}},
    {"mixer": {"name": "static", "proportions": {"wiki": 2}}, "weighter": {"name": "loss"}},
    {"weighter": ["loss", {"name": "loss", "delta": 2}]},
]
BAD = [
    {"warmup_step": 3},
    {"warmup_steps": -1},
    {"warmup_steps": "many"},
    {"candidates": "some"},
    {"candidates": 0.5},
    {"exhaustion": "stop"},
    {"allow_changed": ["all"]},
    {"selector": "les"},
    {"selector": "temperature"},
    {"selector": 3},
    {"selector": {"focus": "low"}},
    {"selector": {"name": "loss", "focus": "top"}},
    {"selector": {"name": "loss", "bost": 2}},
    {"selector": {"name": "less", "focus": "low"}},
    {"mixer": "doremi"},
    {"mixer": {"name": "doremi"}},
    {"mixer": ["random"]},
    {"weighter": ["loss", None]},
    {"weighter": ["less"]},
    {"weighter": []},
    [],
    3,
]


@pytest.mark.parametrize("document", GOOD, ids=str)
def test_good_sections_are_valid(section, document):
    section.validate(document)


@pytest.mark.parametrize("document", BAD, ids=str)
def test_bad_sections_are_not(section, document):
    assert not section.is_valid(document)


def test_a_whole_file():
    made = _schema()
    whole = jsonschema.Draft202012Validator(made)
    whole.validate({"model_name_or_path": "m", "learning_rate": 1e-4, "dataflex": {"selector": "less"}})
    whole.validate({"of_a_plugin": 1, "dataflex": None})
    assert not whole.is_valid({"dataflex": {"selector": "les"}})
    for good in ({"lora_rank": 4}, {"bf16": True}, {"stage": "pt"}, {"max_steps": "${steps}"}, {"learning_rate": None}):
        whole.validate(good)
    for bad in ({"lora_rank": "four"}, {"bf16": "maybe"}, {"stage": "sfd"}):
        assert not whole.is_valid(bad)
    assert "lora_rank" in made["properties"], "editors complete LLaMA-Factory's keys"


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r.spec.kind}-{r.spec.name}")
def test_every_strategy_is_described(section, record):
    arms = section.schema["$defs"][record.spec.kind.value]["anyOf"][2]["oneOf"]
    (arm,) = (a for a in arms if record.id in a["properties"]["name"]["enum"])
    assert arm["description"] == record.spec.summary
    parameters = describe(record.load_params())
    assert set(arm["properties"]) == {"name", *(p.name for p in parameters)}
    assert all(arm["properties"][p.name]["description"] == p.help for p in parameters)


def test_every_key_of_the_section_is_described(section):
    assert all(key["description"] for key in section.schema["properties"].values())


def test_the_strategies_of_a_file(tmp_path):
    inner = "from dataclasses import dataclass\n@dataclass\nclass Inner:\n    a: int\n"
    params = f"{inner}@dataclass\nclass Params:\n    i: Inner"
    source = offering("mine", target="dfx_schema:Mine", params="dfx_schema:Params")
    (tmp_path / "dfx_schema.py").write_text(f"{params}\n{source}")
    made = jsonschema.Draft202012Validator(_schema("--plugin", tmp_path / "dfx_schema.py", "--section"))
    made.validate({"selector": {"name": "mine", "i": {"a": 3}}})
    assert not made.is_valid({"selector": {"name": "mine", "i": {"a": "x"}}})
    assert not made.is_valid({"selector": "mine"}), "a parameter is required"


def test_a_plugin_that_does_not_load_spoils_no_other(tmp_path):
    (tmp_path / "dfx_half.py").write_text(offering("half", target="dfx_half:A", params="dfx_half:B"))
    made = jsonschema.Draft202012Validator(_schema("--plugin", tmp_path / "dfx_half.py", "--section"))
    made.validate({"selector": {"name": "half", "anything": 1}})
    assert not made.is_valid({"selector": {"name": "loss", "bost": 2}})
