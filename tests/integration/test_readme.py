"""The README's plugin is a plugin, and its YAML is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from support import base_args, of_kind, train

from dataflex_core.catalog import discover
from dataflex_core.config import load_config
from dataflex_core.prepare import prepare

README = Path(__file__).parents[2] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )


@pytest.fixture
def goldilocks(tmp_path, monkeypatch):
    """The plugin of the README, as an installer leaves it."""
    (source,), (project,) = _blocks("python"), _blocks("toml")
    assert len(source.splitlines()) <= 40
    meta = tomllib.loads(project)["project"]
    (tmp_path / "dataflex_goldilocks.py").write_text(source)
    info = tmp_path / f"{meta['name'].replace('-', '_')}-{meta['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {meta['name']}\nVersion: {meta['version']}\n")
    points = "".join(f"{k} = {v}\n" for k, v in meta["entry-points"]["dataflex"].items())
    (info / "entry_points.txt").write_text(f"[dataflex]\n{points}")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("goldilocks")
def test_the_readmes_plugin_trains(model, data, tmp_path):
    catalog = discover()
    assert catalog.faults == ()
    assert [r.id for r in catalog.named("goldilocks")] == ["dataflex-goldilocks/goldilocks"]
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out")
    train(args, events=events, selector="goldilocks", settings=("selector.quantile=0.3",), catalog=catalog)
    assert [d["judged"] for d in of_kind(events, "decision")] == [0, 100, 100]


def test_the_readmes_yaml_is_read(model, data, tmp_path):
    (block,) = _blocks("yaml")
    path = tmp_path / "my.yaml"
    args = base_args(model, data, tmp_path / "out", eval_dataset="held")
    path.write_text(yaml.safe_dump({**args, **yaml.safe_load(block)}))
    prepared = prepare(load_config(path), discover())
    assert [kind.value for kind in prepared.strategies] == ["selector", "mixer", "weighter"]


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
