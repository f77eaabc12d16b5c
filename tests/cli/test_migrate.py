"""`dataflex migrate`: the new form of a configuration of DataFlex 1.x, and that it is the same run."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dataflex_cli.main import cli
from dataflex_core.catalog import discover
from dataflex_core.compat.keys import NAMES
from dataflex_core.config.load import load_config
from dataflex_core.errors import InvalidConfig
from dataflex_core.prepare import prepare

OLD = Path(__file__).parents[1] / "old"
FILES = sorted(path.name for path in OLD.iterdir() if path.name != "components.yaml")


@pytest.fixture(autouse=True)
def here(tmp_path, data, monkeypatch):
    """A working directory as the configurations of 1.x expect one."""
    for path in OLD.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def migrate(*words):
    """What the command prints on stdout, and on stderr line by line."""
    done = CliRunner().invoke(cli, ["migrate", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize("file", FILES)
def test_the_new_form_is_the_same_run(here, file):
    text, _ = migrate(file)
    (here / "new.yaml").write_text(text)
    old, new = (prepare(load_config(Path(name)), discover()) for name in (file, "new.yaml"))
    assert old == new


@pytest.mark.parametrize("file", FILES)
def test_no_key_of_1x_is_left_and_the_others_keep_their_order(here, file):
    text, said = migrate(file)
    written, now = yaml.safe_load((here / file).read_text()), yaml.safe_load(text)
    kept = [key for key in written if key in now]
    assert not NAMES & set(now)
    assert [key for key in now if key in written] == kept
    assert set(written) - set(kept) <= NAMES
    assert now.keys() - written.keys() <= {"max_steps", "dataflex"}
    assert migrate(here / file)[0] == text
    load_config(Path(file), notice=lambda line: said.remove(line))
    assert said == []


@pytest.mark.parametrize("file", FILES)
def test_a_new_form_migrates_to_itself(here, file):
    text, _ = migrate(file)
    (here / "new.yaml").write_text(text)
    assert migrate("new.yaml") == (text, ["new.yaml holds no key of DataFlex 1.x"])


def test_a_file_is_written_whole_and_never_overwritten(here):
    text, said = migrate("select_less.yaml")
    before = set(here.iterdir())
    out, told = migrate("select_less.yaml", "--output", "new.yaml")
    assert out == ""
    assert told == [*said, "written to new.yaml, without the comments of select_less.yaml"]
    assert set(here.iterdir()) - before == {here / "new.yaml"}
    assert (here / "new.yaml").read_text() == text
    (here / "new.yaml").write_text("mine")
    with pytest.raises(InvalidConfig, match=r"new\.yaml exists"):
        migrate("select_loss.yaml", "--output", "new.yaml")
    assert (here / "new.yaml").read_text() == "mine"


@pytest.mark.parametrize("links", [True, False], ids=["links", "a file system without links"])
def test_a_file_that_another_writes_at_the_same_time_is_theirs(here, monkeypatch, links):
    def none(*_):
        raise PermissionError(1, "Operation not permitted")

    def meanwhile(config):
        Path("new.yaml").write_text("theirs")
        return "ours"

    if not links:
        monkeypatch.setattr("os.link", none)
    text, _ = migrate("select_loss.yaml")
    migrate("select_loss.yaml", "--output", "first.yaml")
    assert (here / "first.yaml").read_text() == text
    before = set(here.iterdir())
    monkeypatch.setattr("dataflex_cli.commands.migrate._yaml", meanwhile)
    with pytest.raises(InvalidConfig, match=r"new\.yaml exists"):
        migrate("select_loss.yaml", "--output", "new.yaml")
    assert (here / "new.yaml").read_text() == "theirs"
    assert set(here.iterdir()) - before == {here / "new.yaml"}


def test_a_file_that_cannot_be_written_is_one_line(here):
    before = set(here.iterdir())
    with pytest.raises(InvalidConfig, match="cannot be written: No such file"):
        migrate("select_loss.yaml", "--output", "nowhere/new.yaml")
    assert set(here.iterdir()) == before


def test_a_strategy_that_nobody_offers_is_said(here):
    (here / "more.yaml").write_text((here / "select_loss.yaml").read_text().replace("name: loss", "name: coincide"))
    text, said = migrate("more.yaml")
    assert yaml.safe_load(text)["dataflex"]["selector"] == {"name": "coincide", "num_clusters": 10}
    assert any("no installed plugin offers the selector 'coincide'" in line for line in said)


def test_what_a_strategy_refuses_of_the_new_form_is_said(here):
    lines = "      params: {boost: -3, focus: null}"
    components = yaml.safe_load((here / "components.yaml").read_text())
    components["selectors"]["loss"] = {"name": "loss", **yaml.safe_load(lines)}
    (here / "components.yaml").write_text(yaml.safe_dump(components))
    _, said = migrate("select_loss.yaml")
    for wrong in ("boost=-3: ", "focus=None: "):
        assert any(line.startswith(f"selector loss refuses its parameters: {wrong}") for line in said)


@pytest.mark.parametrize("name", ["cluster_less", "icons", "nice"])
def test_selectors_by_gradients_are_the_same_run(here, name):
    text = (here / "select_less.yaml").read_text().replace("name: less", f"name: {name}")
    (here / "old.yaml").write_text(text + "dataflex: {selector: {reward: rouge-l}}\n" * (name == "nice"))
    (here / "new.yaml").write_text(migrate("old.yaml")[0])
    old, new = (prepare(load_config(Path(file)), discover()) for file in ("old.yaml", "new.yaml"))
    assert old == new
    assert new.config.dataflex.selector.name == name.replace("_", "-")


def test_values_are_read_back_as_they_were(here):
    (here / "odd.json").write_text(
        '{"train_type": "static", "model_name_or_path": "1e-4", "swanlab_project": "yes", "run_name": "\\\\${HOME}",'
        ' "learning_rate": 1e-5, "output_dir": "Käse", "report_to": null, "freeze_trainable_layers": "007"}'
    )
    (here / "new.yaml").write_text(migrate("odd.json")[0])
    assert load_config(Path("new.yaml")) == load_config(Path("odd.json"))
    assert load_config(Path("new.yaml")).args["run_name"] == "${HOME}"
