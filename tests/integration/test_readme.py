"""The README's plugin trains, the guide shows what `dataflex new` writes, and documented YAML is read."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from support import base_args, leave_dist_info, of_kind, train

from dataflex_cli.main import cli
from dataflex_core import Need
from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.prepare import prepare
from dataflex_core.testing import check_strategy

README = Path(__file__).parents[2] / "README.md"


def _blocks(language: str, path: Path = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _new(line: str, folder: Path) -> None:
    """What a `dataflex new` line of a document writes, in a folder of its own."""
    words = shlex.split(line, comments=True)
    assert words[:2] == ["dataflex", "new"]
    done = CliRunner().invoke(cli, [*words[1:], "--output", str(folder)])
    assert done.exit_code == 0, done.output


@pytest.mark.numeric
def test_the_readmes_plugin_conforms_and_trains(model, data, tmp_path, monkeypatch):
    commands = next(block for block in _blocks("bash") if block.startswith("dataflex new"))
    folder = tmp_path / "plugin"
    _new(commands.splitlines()[0], folder)
    (shown,) = _blocks("python")
    assert shown in (folder / "src" / "dataflex_goldilocks" / "strategy.py").read_text(encoding="utf-8")
    leave_dist_info(folder / "src", tomllib.loads((folder / "pyproject.toml").read_text())["project"])
    monkeypatch.syspath_prepend(folder / "src")
    catalog = discover()
    assert catalog.faults == ()
    (record,) = catalog.named("goldilocks")
    assert record.id == "dataflex-goldilocks/goldilocks"
    check_strategy(record.spec)
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out")
    train(args, events=events, selector="goldilocks", settings=("selector.quantile=0.3",), catalog=catalog)
    assert [d["judged"] for d in of_kind(events, "decision")] == [0, 100, 100]


def test_the_guide_shows_what_is_written(tmp_path):
    guide = README.parent / "docs" / "write-a-strategy.md"
    commands = next(iter(_blocks("bash", guide)))
    assert len(commands.splitlines()) < 10
    _new(commands.splitlines()[0], tmp_path / "plugin")
    source = (tmp_path / "plugin" / "src" / "dataflex_my_strategy" / "strategy.py").read_text(encoding="utf-8")
    *blocks, with_params = _blocks("python", guide)
    # Whole strategies, of imports too, are no part of what is written: tests/integration/test_docs.py runs them.
    shown = [block for block in blocks if not block.startswith(("import ", '"""'))]
    assert len(shown) >= 2
    assert all(block in source for block in shown)
    assert "my-strategy" in with_params
    named = set(re.findall(r"Need\.([A-Z_]+)", guide.read_text(encoding="utf-8")))
    assert named == {need.name for need in Need}


def test_the_readmes_yaml_is_read(model, data, tmp_path):
    (block,) = _blocks("yaml")
    path = tmp_path / "my.yaml"
    shown = yaml.safe_load(block)
    named = shown["dataflex"]["mixer"]["proportions"]
    shown["dataflex"]["mixer"]["proportions"] = dict(zip(("words", "numbers"), named.values(), strict=True))
    args = base_args(model, data, tmp_path / "out", eval_dataset="held")
    path.write_text(yaml.safe_dump({**args, **shown}))
    prepared = prepare(load_config(path), discover())
    assert [slot.kind.value for slot in prepared.strategies] == ["selector", "mixer", "weighter"]


def test_the_documented_defaults_are_the_defaults(tmp_path):
    text = (README.parent / "docs" / "configuration.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    path = tmp_path / "c.yaml"
    path.write_text(block)
    written, default = load_config(path).dataflex, load_config().dataflex
    assert {k: getattr(written, k) for k in written.__slots__ if k != "selector"} == {
        k: getattr(default, k) for k in default.__slots__ if k != "selector"
    }
    assert all(f"| `{key}`" in text or f"`{key}`" in text for key in default.__slots__)
