"""`dataflex new` writes a whole plugin of every kind: clean, discovered, described and right by its own tests."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from support import leave_dist_info

from dataflex_cli.commands.new import new
from dataflex_cli.main import main
from dataflex_cli.scaffold import SKETCHES, Template
from dataflex_core.catalog import discover
from dataflex_core.config.params import describe as describe_params
from dataflex_core.config.params import validate

LONG = "a-name-of-more-words-than-anybody-would-type"
FILES = {
    ".github/workflows/test.yml",
    ".gitignore",
    "README.md",
    "pyproject.toml",
    "src/{package}/__init__.py",
    "src/{package}/py.typed",
    "src/{package}/strategy.py",
    "tests/test_conformance.py",
    "tests/test_strategy.py",
}
every_sketch = pytest.mark.parametrize("sketch", SKETCHES, ids=lambda s: s.folder)


@pytest.fixture
def dataflex(monkeypatch, capsys):
    """Run the command as a shell would; exit code, stdout, stderr."""

    def call(*words):
        monkeypatch.setattr("sys.argv", ["dataflex", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture
def made(dataflex, tmp_path, monkeypatch):
    """Write a plugin below an empty folder; the plugin's folder."""
    monkeypatch.chdir(tmp_path)

    def make(sketch, name="my-strategy"):
        flags = ["--template", sketch.folder] if sketch.folder in list(Template) else []
        code, out, err = dataflex("new", name, "--kind", sketch.kind, *flags)
        assert not code, err
        assert f"--set {sketch.kind}.{sketch.setting}" in out
        return tmp_path / f"dataflex-{name}"

    return make


def run(*words, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )


@every_sketch
def test_every_file_is_there_and_nothing_else(made, sketch):
    folder = made(sketch)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {name.format(package="dataflex_my_strategy") for name in FILES}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@every_sketch
@pytest.mark.parametrize("name", ["a", LONG])
def test_the_code_is_clean(made, sketch, name):
    """By the plugin's own settings: it lies where no others reach."""
    folder = made(sketch, name)
    for words in (["ruff", "check"], ["ruff", "format", "--check"]):
        done = run(*words, "--no-cache", ".", cwd=folder)
        assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of mypy: what it knows about torch takes it a while to learn."""
    return tmp_path_factory.mktemp("mypy")


@every_sketch
def test_the_types_are_right(made, cache, sketch):
    done = run("mypy", "--cache-dir", str(cache), "src", "tests", cwd=made(sketch))
    assert done.returncode == 0, done.stdout


@every_sketch
def test_it_is_discovered_described_and_checked(made, sketch, dataflex, monkeypatch):
    name = f"my-{sketch.folder}"
    folder = made(sketch, name)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    leave_dist_info(folder / "src", project)
    monkeypatch.syspath_prepend(folder / "src")
    catalog = discover()
    assert catalog.faults == ()
    (record,) = catalog.named(name)
    assert record.id == f"dataflex-{name}/{name}"
    assert (record.spec.kind, record.spec.needs) == (sketch.kind, sketch.needs)
    (parameter,) = describe_params(record.load_params())
    assert parameter.constraints or sketch.folder == Template.REFERENCE, "a model has no limits"
    assert parameter.help
    code, out, _ = dataflex("describe", name, "--json")
    assert not code
    (document,) = json.loads(out)["strategies"]
    assert document["summary"] == project["description"].removeprefix(f"A {sketch.kind} for DataFlex: ").rstrip(".")
    assert [p["name"] for p in document["parameters"]] == [parameter.name]
    key, value = sketch.setting.split("=")
    told = value if parameter.type == "str" else float(value)
    assert getattr(validate(record.load_params(), {key: value}, owner="it"), key) == told != parameter.default


# A mistake in each strategy.
WRONG = {
    "-distance": "distance",
    "-keys": "keys",
    "** power": "** 1",
    "(tilt * loss)": "(-tilt * loss)",
    "now - reference": "reference - now",
    "distances.argmax()": "distances.argmin()",
    "+ rate * estimate": "- rate * estimate",
}


@pytest.mark.parametrize(
    "sketch",
    [pytest.param(sketch, marks=[pytest.mark.slow] if number else []) for number, sketch in enumerate(SKETCHES)],
    ids=lambda s: s.folder,
)
def test_its_own_tests_pass_and_can_fail(made, sketch, monkeypatch):
    folder = made(sketch)
    monkeypatch.setenv("PYTHONPATH", f"{folder / 'src'}:" + ":".join(path for path in sys.path if path))
    done = run("pytest", "-q", cwd=folder)
    assert done.returncode == 0, done.stdout
    strategy = folder / "src" / "dataflex_my_strategy" / "strategy.py"
    source = strategy.read_text()
    wrong = source
    for right, mistaken in WRONG.items():
        wrong = wrong.replace(right, mistaken)
    assert wrong != source
    strategy.write_text(wrong)
    assert "failed" in run("pytest", "-q", "tests/test_strategy.py", cwd=folder).stdout


@every_sketch
def test_a_single_file_is_clean_and_keeps_its_contract(dataflex, tmp_path, monkeypatch, cache, sketch):
    monkeypatch.chdir(tmp_path)
    name = f"one-{sketch.folder}"
    flags = ["--template", sketch.folder] if sketch.folder in list(Template) else []
    code, out, err = dataflex("new", name, "--kind", sketch.kind, "--single-file", *flags)
    file = f"one_{sketch.folder}.py"
    assert not code, err
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert f"dataflex run --plugin ./{file} --{sketch.kind} {name} --set {sketch.kind}.{sketch.setting}" in out
    for words in (["ruff", "check", "--select", "B,E,F,I,UP"], ["ruff", "format", "--check"]):
        done = run(*words, "--no-cache", "--isolated", "--line-length", "120", file, cwd=tmp_path)
        assert done.returncode == 0, done.stdout
    done = run("mypy", "--strict", "--cache-dir", str(cache), file, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    code, out, err = dataflex("check", f"./{file}", "--set", sketch.setting)
    assert code == 0, out + err
    assert "declares_lightly" in out


REFUSED = {
    "a malformed name": (["My_Strategy", "--kind", "mixer"], "is malformed"),
    "a path as a name": (["../mine", "--kind", "mixer"], "is malformed"),
    "the name of a strategy": (["less", "--kind", "selector"], "dataflex-strategies has a selector 'less'"),
    "the name of a distribution": (["core", "--kind", "mixer"], "dataflex-core"),
    "the name of a class": (["scoring", "--kind", "selector"], "ScoringSelector"),
    "another kind's template": (["mine", "--kind", "mixer", "--template", "plain"], "a mixer has no template plain"),
    "a folder whose name is too long": (["mine", "--kind", "mixer", "--output", "x" * 300], "cannot be written"),
    "a folder that holds something": (["mine", "--kind", "mixer", "--output", "full"], "is not an empty folder"),
    "a file that is no module": (["mine", "--kind", "mixer", "--single-file", "--output", "my-file.py"], "no Python"),
    "a file with a module's name": (["json", "--kind", "mixer", "--single-file"], "has the name of another module"),
    "a file called as what runs": (
        ["mine", "--kind", "mixer", "--single-file", "--output", "__main__.py"],
        "has the name of another module",
    ),
    "a file below a file": (
        ["mine", "--kind", "mixer", "--single-file", "--output", "full/file/mine.py"],
        "cannot be written",
    ),
    "a folder that is a file": (["mine", "--kind", "mixer", "--output", "full/file"], "is not an empty folder"),
    "a folder below a file": (["mine", "--kind", "mixer", "--output", "full/file/mine"], "cannot be written"),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_refused_in_one_line(dataflex, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("__main__.__spec__", None)  # as in a script
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    code, _, err = dataflex("new", *words)
    assert code == 2
    assert err.startswith("Error: ")
    assert said in err.splitlines()[0]
    assert len(err.splitlines()) == 2, "what is wrong, and what to do"
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["full", "full/file"]


def test_an_empty_folder_is_filled_and_stays_the_same(dataflex, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    code, _, err = dataflex("new", "mine", "--kind", "weighter", "--output", ".")
    assert not code, err
    assert (tmp_path / "pyproject.toml").is_file()
    assert tmp_path.stat().st_ino == before, "where the shell stands"
    assert not list(tmp_path.glob(".dataflex-*"))


@pytest.mark.parametrize("flags", [[], ["--single-file"]])
def test_what_fails_halfway_leaves_nothing(tmp_path, monkeypatch, flags):
    monkeypatch.chdir(tmp_path)

    def full(self, text, *_, **__):
        self.write_bytes(text[:99].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(Exception, match=r"cannot be written: .*No space left"):
        new.main(["mine", "--kind", "selector", *flags], standalone_mode=False)
    assert list(tmp_path.iterdir()) == []
