"""What the README, CONTRIBUTING and the pages of docs show is run; what they list is all there is."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from pathlib import Path

import pytest
from cases import cases
from doc_runner import PageRunner, run_page
from support import base_args, train
from third_party import FILES

import dataflex_core
from dataflex_cli.main import main
from dataflex_core import Kind, Need, StrategySpec, UsageError
from dataflex_core.catalog import Catalog, Record, discover
from dataflex_core.config.params import describe
from dataflex_core.contracts import Strategy

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", *DOCS]


@pytest.fixture
def dataflex(monkeypatch, capfd):
    """Run the command as a shell would: exit code, and what it printed."""
    # LLaMA-Factory's log handler keeps the stream of the test that first imported it.
    monkeypatch.setattr("logging.raiseExceptions", False)
    monkeypatch.setenv("NPROC_PER_NODE", "1")

    def call(words):
        monkeypatch.setattr("sys.argv", ["dataflex", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), "".join(capfd.readouterr())

    return call


@pytest.fixture
def runner(tmp_path, model, monkeypatch, dataflex):
    """Runs blocks in an empty folder; what they import from there is forgotten."""
    for file in FILES:  # a page shows one of them, and has it imported from where it is written
        monkeypatch.delitem(sys.modules, file.stem, raising=False)
    yield PageRunner(tmp_path, model, monkeypatch, dataflex)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


LONG = [ROOT / "docs" / f"{name}.md" for name in ("before-a-run", "write-a-strategy", "testing-a-strategy")]


@pytest.mark.numeric
@pytest.mark.parametrize("page", cases(PAGES, slow=LONG), ids=lambda page: page.stem)
def test_what_a_page_shows_runs(page, runner, model, data, tmp_path):
    run_page(page, runner)
    for name, value in vars(runner.module).items():
        if inspect.isclass(value) and issubclass(value, Strategy) and value.__module__ == runner.module.__name__:
            kind = next(kind for kind in Kind if issubclass(value, getattr(dataflex_core, kind.capitalize())))
            # A reference model a parameter would have to name, and the tiny model is no mixture of experts.
            needs = set(Need) - {Need.REFERENCE_LOSSES, Need.EXPERT_LOADS}
            spec = StrategySpec(kind=kind, name="shown", target=f"{value.__module__}:{name}", summary="-", needs=needs)
            catalog = Catalog(records=(Record(spec=spec, distribution="docs", version="1"),))
            events: list[dict] = []
            args = base_args(model, data, tmp_path / f"trained-{name}", eval_dataset="held", max_steps=3)
            args["dataflex"] = {"holdout": 0.1}
            train(args, events=events, catalog=catalog, **{kind.value: "shown"})
            assert [event["event"] for event in events][-1] == "end"


# A page, and what is raised where it cannot be run.
BROKEN = {
    "no language": ("```\na listing\n```", ValueError, "cannot be run"),
    "another command": ("```bash\nmake coffee\n```", ValueError, "cannot be run"),
    "what an index has": ("```bash\npip install nox\n```", ValueError, "cannot be run"),
    "another environment": ("```bash\ndataflex plugins install x\n```", ValueError, "its own environment"),
    "a comment of another kind": ("<!-- later -->\n\n```\na listing\n```", ValueError, "cannot be run"),
    "a comment further up": ("<!-- not run: x -->\n\nText.\n\n```\na listing\n```", ValueError, "cannot be run"),
    "a command that fails": ("```bash\ndataflex describe nosuch\n```", AssertionError, "nosuch"),
    "a command that does not fail": (
        "```bash\ndataflex --version\n```\n```text\nError: x\n```",
        AssertionError,
        "version",
    ),
    "other output": ("```bash\ndataflex --version\n```\n```text\ndataflex, version 0\n```", AssertionError, "not in"),
    "a missing name": ("```python\nfrom dataflex_core import nosuch\n```", ImportError, "nosuch"),
    "a misspelt key": ("```yaml\ndataflex: {update_stps: 3}\n```", UsageError, "update_steps"),
    "tests that fail": ("```bash\npytest nosuch\n```", AssertionError, "nosuch"),
    "torn JSON": ("```json\n[1, 2\n```", ValueError, "Expecting"),
    "torn TOML": ("```toml\n[a\n```", ValueError, "Expected"),
}


@pytest.mark.parametrize(("text", "error", "said"), BROKEN.values(), ids=BROKEN.keys())
def test_a_page_that_does_not_run_is_found(text, error, said, runner, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n{text}\n")
    with pytest.raises(error, match=said):
        run_page(page, runner)
    page.write_text(re.sub(r"^```(?=\w|\n)", "<!-- not run: said why -->\n\n```", f"{text}\n", flags=re.MULTILINE))
    run_page(page, runner)


def test_the_sessions_that_are_named_exist():
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"\bnox -s (\w+)", page.read_text(encoding="utf-8"))}
    assert named <= sessions


def test_the_contracts_are_all_documented():
    text = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    told = re.findall(r"^\.\. (?:auto\w+:: dataflex_core\.|py:decorator:: )(\w+)$", text, flags=re.MULTILINE)
    assert sorted(told) == sorted(dataflex_core.__all__)


def test_every_page_is_linked_from_the_first():
    linked = re.findall(r"\]\(([\w-]+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    assert sorted(linked) == sorted(page.name for page in DOCS if page.name != "index.md")


OURS = [record for record in discover().of_kind() if record.distribution == "dataflex-strategies"]


@pytest.mark.parametrize("record", OURS, ids=lambda record: f"{record.spec.kind}-{record.spec.name}")
def test_a_strategy_says_when_to_use_it(record):
    paragraphs = (inspect.getdoc(record.load()) or "").split("\n\n")
    assert len(paragraphs) >= 2
    assert paragraphs[-1].startswith("When to use: ")


@pytest.fixture(scope="session")
def strategy_pages():
    """The Sphinx extension that writes the strategies' pages; it needs no Sphinx for that."""
    path = ROOT / "docs" / "_extensions" / "strategy_pages.py"
    spec = importlib.util.spec_from_file_location("strategy_pages", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("record", OURS, ids=lambda record: f"{record.spec.kind}-{record.spec.name}")
def test_a_strategys_page_says_what_the_code_says(record, strategy_pages):
    page = strategy_pages.page(record)
    said = inspect.getdoc(record.load()).replace("When to use: ", "")
    assert all(paragraph in page for paragraph in said.split("\n\n"))
    assert "When to use it\n---" in page
    assert f"--{record.spec.kind} {record.spec.name}" in page
    for parameter in describe(record.load_params()):
        assert f"* - ``{parameter.name}``" in page
        row = page.split(f"* - ``{parameter.name}``")[1].split("* - ``")[0]
        assert (f"``{parameter.default!r}``" in row) is not parameter.required
        assert parameter.required is (f"--set {record.spec.kind}.{parameter.name}=VALUE" in page)
    assert (record.spec.reference.removeprefix("arXiv:") in page) if record.spec.reference else "Paper" not in page


def test_pages_of_strategies_that_are_gone_are_removed_and_others_left_alone(strategy_pages, tmp_path):
    strategy_pages.write_pages(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    (tmp_path / "selector-gone.rst").write_text("Gone\n====\n")
    strategy_pages.write_pages(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    assert sorted(before) == sorted(f"{record.spec.kind}-{record.spec.name}.rst" for record in OURS)
