"""The package itself: its public names, and what importing, discovering and describing do not import."""

import ast
import importlib.metadata
import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import dataflex_core
from dataflex_core import choosing, contracts, domains, requests, weighing

REPORT = """
import sys
print(*sorted({"torch", "transformers", "numpy", "pydantic", "omegaconf", "llamafactory"} & set(sys.modules)))
"""
DESCRIBE = """
from dataflex_core.catalog import discover
from dataflex_core.config.params import describe
catalog = discover()
described = {record.id: describe(record.load_params()) for record in catalog.of_kind()}
"""
PLUGIN = """
from dataflex_core import Kind, Need, StrategySpec, hookimpl

@hookimpl
def dataflex_strategies():
    yield StrategySpec(kind=Kind.SELECTOR, name="tmp", target="dfx_tmp_impl:Tmp", params="dfx_tmp_impl:TmpParams",
                       summary="does a thing", needs={Need.GRADIENTS})
"""
IMPLEMENTATION = """
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Annotated, Literal
from annotated_types import Gt
from typing_extensions import Doc
from dataflex_core import ScoringSelector

@dataclass(frozen=True, slots=True, kw_only=True)
class TmpParams:
    focus: Literal["high", "low"] = "high"
    boost: Annotated[float, Gt(0), Doc("how much")] = 5.0
    layers: list[int] = field(default_factory=list)

class Tmp(ScoringSelector[TmpParams]):
    pass
"""


def loaded_by(code, path=None):
    env = os.environ if path is None else {**os.environ, "PYTHONPATH": str(path)}
    command = [sys.executable, "-c", textwrap.dedent(code) + REPORT]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_check_sees_a_heavy_import():
    assert loaded_by("import dataflex_core.planning.plan") == ["numpy"]


LIGHT = [
    "",
    ".catalog",
    ".config.params",
    ".config.section",
    ".config.load",
    ".handover",
    ".journal",
    ".planning.schedule",
]


@pytest.mark.parametrize("module", LIGHT)
def test_importing_is_light(module):
    assert loaded_by(f"import dataflex_core{module}") == []


def test_discovering_and_describing_a_plugin_is_light(tmp_path):
    (tmp_path / "dfx_tmp_plugin.py").write_text(PLUGIN)
    (tmp_path / "dfx_tmp_impl.py").write_text(IMPLEMENTATION)
    info = tmp_path / "dfx_tmp-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dfx-tmp\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dataflex]\ntmp = dfx_tmp_plugin\n")
    check = """
    (tmp,) = [record for record in catalog.records if record.id == "dfx-tmp/tmp"]
    assert [p.name for p in described["dfx-tmp/tmp"]] == ["focus", "boost", "layers"]
    assert tmp.load().__name__ == "Tmp"
    """
    assert loaded_by(DESCRIBE + textwrap.dedent(check), tmp_path) == []


def test_discovering_and_describing_everything_installed_is_light():
    assert loaded_by(DESCRIBE + "assert not catalog.faults, catalog.faults") == []


@pytest.mark.parametrize("name", dataflex_core.__all__)
def test_every_public_name_is_there(name):
    assert getattr(dataflex_core, name) is not None


def test_every_contract_is_public():
    public = {
        name
        for module in (choosing, contracts, domains, requests, weighing)
        for name, member in inspect.getmembers(module)
        if getattr(member, "__module__", None) == module.__name__
        and not name.startswith("_")
        and not isinstance(member, type(contracts.P))
    }
    assert public - {"Strategy"} <= set(dataflex_core.__all__)


def test_the_version_is_the_distributions():
    assert dataflex_core.__version__ == importlib.metadata.version("dataflex-core")


ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for folder in ("core", "strategies", "cli") for p in ROOT.glob(f"dataflex-{folder}/src/**/*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_pickled(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = {
        name.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    } | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not imported & {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    called = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert not called & {"torch.load", "torch.save", "yaml.load", "np.load", "numpy.load"}


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_packages_depend_in_one_direction(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    modules = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    package = source.relative_to(ROOT).parts[0]
    if package == "dataflex-core":
        assert not any(m.startswith(("dataflex_strategies", "dataflex_cli")) for m in modules)
    if package == "dataflex-strategies":
        assert all(m == "dataflex_core" for m in modules if m.startswith("dataflex_core")), "public names only"
