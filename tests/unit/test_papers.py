"""The project's papers: what CONTRIBUTING, CHANGELOG, CITATION and the commit hooks name is there, and as they say."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

import dataflex_core

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
SESSIONS = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))

# The part of the Citation File Format 1.2.0 that is used here.
CITATION = {
    "type": "object",
    "required": ["cff-version", "message", "title", "authors"],
    "additionalProperties": False,
    "properties": {
        "cff-version": {"const": "1.2.0"},
        "message": {"type": "string", "minLength": 1},
        "type": {"enum": ["software", "dataset"]},
        "title": {"type": "string", "minLength": 1},
        "abstract": {"type": "string", "minLength": 1},
        "authors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": {"type": "string", "minLength": 1}},
            },
        },
        "version": {"type": "string", "minLength": 1},
        "license": {"const": "Apache-2.0"},
        "keywords": {"type": "array", "minItems": 1, "uniqueItems": True, "items": {"type": "string"}},
    },
}


def changes():
    """The rows of the table `Where a change goes`: what is changed, where one begins, and what follows."""
    section = CONTRIBUTING.split("## Where a change goes")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return rows[1:]


def links(text):
    return [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in target]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_paper_links_to_is_there(name):
    targets = links((ROOT / name).read_text(encoding="utf-8"))
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_change_has_a_place_where_it_begins():
    assert len(changes()) >= 10
    assert all(links(begin) for _, begin, *_ in changes())


def test_a_change_begins_where_the_names_are_that_the_table_names():
    for change, begin, *_ in changes():
        text = "".join(
            path.read_text(encoding="utf-8")
            for target in links(begin)
            for path in ([ROOT / target] if (ROOT / target).is_file() else (ROOT / target).rglob("*.py"))
        )
        prose = re.sub(r"\[[^\]]*\]\([^)]*\)", "", begin)
        for name in re.findall(r"`@?(\w+)`", prose):
            assert re.search(rf"\b(def|class) {name}\b", text), (change, name)


def test_the_commit_hooks_are_sessions_of_nox_that_need_no_network():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["entry"] == f"nox -R -s {hook['id']}"
        assert hook["id"] in SESSIONS
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False


def test_the_changelog_has_this_version_and_only_the_known_kinds_of_change():
    versions = re.findall(r"^## \[(.+)\] - (unreleased|\d{4}-\d\d-\d\d)$", CHANGELOG, re.MULTILINE)
    assert len(versions) == len(re.findall(r"^## ", CHANGELOG, re.MULTILINE))
    assert dataflex_core.__version__ == versions[0][0]
    kinds = set(re.findall(r"^### (.+)$", CHANGELOG, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    jsonschema.validate(citation, CITATION)
    assert citation["version"] == dataflex_core.__version__
