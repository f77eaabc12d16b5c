"""catalog: which plugins are looked at, for which DataFlex they were written, and plugins that are a single file."""

from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint, entry_points

import pytest
from support import install_plugin, offering

from dataflex_core.catalog import Plugins, discover
from dataflex_core.errors import InvalidPlugin
from dataflex_core.hooks import API_VERSION
from dataflex_core.spec import Kind

BUILT_IN = "dataflex-strategies"
MINE = """
from dataclasses import dataclass
from dataflex_core import Kind, ScoringSelector, StrategySpec, hookimpl

@hookimpl
def dataflex_strategies():
    yield StrategySpec(kind=Kind.SELECTOR, name="mine", target="dfx_mine:Mine", params="dfx_mine:Params", summary="s")

@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    k: int = 3

class Mine(ScoringSelector[Params]):
    pass
"""


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two distributions are installed, `dfx-one` and `dfx-two`, with a selector of their own each."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("one", "two"):
        install_plugin(tmp_path, f"dfx-{name}", offering(name))
    yield tmp_path
    for name in ("one", "two"):
        sys.modules.pop(f"dfx_{name}", None)


@pytest.fixture
def mine(tmp_path):
    """Write the file of a plugin, whose module is forgotten at the end of the test."""

    def write(source=MINE, name="dfx_mine.py"):
        (tmp_path / name).write_text(source)
        return tmp_path / name

    yield write
    sys.modules.pop("dfx_mine", None)


def _distributions(catalog):
    return {record.distribution for record in catalog.records}


# ---------------------------------------------------------------------------------------------------------- chosen


@pytest.mark.parametrize(
    ("env", "found"),
    [
        ({}, [BUILT_IN, "dfx-one", "dfx-two"]),
        ({"DATAFLEX_PLUGINS": " , "}, [BUILT_IN, "dfx-one", "dfx-two"]),
        ({"DATAFLEX_PLUGINS": "dfx-one"}, [BUILT_IN, "dfx-one"]),
        ({"DATAFLEX_PLUGINS": "DFX_One, dfx.two"}, [BUILT_IN, "dfx-one", "dfx-two"]),
        ({"DATAFLEX_PLUGINS": BUILT_IN}, [BUILT_IN]),
        ({"DATAFLEX_DISABLE_PLUGINS": "dfx-one"}, [BUILT_IN, "dfx-two"]),
        ({"DATAFLEX_DISABLE_PLUGINS": f"{BUILT_IN},dfx-one"}, ["dfx-two"]),
        ({"DATAFLEX_PLUGINS": "dfx-one", "DATAFLEX_DISABLE_PLUGINS": "dfx-one"}, [BUILT_IN]),
    ],
    ids=str,
)
def test_the_environment_says_which_plugins_are_looked_at(two, monkeypatch, env, found):
    for name in ("DATAFLEX_PLUGINS", "DATAFLEX_DISABLE_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    catalog = discover()
    assert _distributions(catalog) == set(found)
    assert not catalog.faults


@pytest.mark.parametrize("variable", ["DATAFLEX_PLUGINS", "DATAFLEX_DISABLE_PLUGINS"])
def test_a_name_that_no_plugin_has_is_a_fault(two, variable):
    (fault,) = discover(plugins=Plugins.of({variable: "dfx-one,dfx-tow"})).faults
    assert (fault.stage, fault.entry_point, fault.distribution) == ("find", variable, "dfx-tow")


def test_no_plugins_are_the_built_in_ones(two):
    assert _distributions(discover(plugins=Plugins(only=frozenset()))) == {BUILT_IN}


def test_a_plugin_that_is_left_out_is_not_imported(two):
    discover(plugins=Plugins.of({"DATAFLEX_DISABLE_PLUGINS": "dfx-one"}))
    assert "dfx_one" not in sys.modules


def test_the_choice_reaches_other_processes(tmp_path):
    for chosen in (Plugins(), Plugins(only=frozenset({"a"}), without=frozenset({"b"}), files=(tmp_path / "c.py",))):
        assert Plugins.from_plain(json.loads(json.dumps(chosen.to_plain()))) == chosen


# -------------------------------------------------------------------------------------------------------- versions


@pytest.mark.parametrize(
    ("requires", "admitted"),
    [
        ("dataflex-core", True),
        ("dataflex-core>=2,<3", True),
        ("dataflex-core>=3", False),
        ("Dataflex_Core<2", False),
        ("dataflex-core[deepspeed]==1.*", False),
        ("dataflex-core>=3; python_version < '3'", True),
        ("dataflex-core>=3; extra == 'new'", True),
        ("another>=99", True),
    ],
)
def test_a_distribution_that_requires_another_dataflex_is_not_imported(tmp_path, monkeypatch, requires, admitted):
    monkeypatch.syspath_prepend(install_plugin(tmp_path, "dfx-old", offering("old"), requires=("rich", requires)))
    catalog = discover()
    assert bool(catalog.named("old")) is admitted
    assert ("dfx_old" in sys.modules) is admitted
    assert [(f.stage, f.distribution) for f in catalog.faults] == ([] if admitted else [("version", "dfx-old")])
    sys.modules.pop("dfx_old", None)


@pytest.mark.parametrize(
    ("stated", "admitted"), [(API_VERSION, True), (API_VERSION + 1, False), (0, False), ("x", False)]
)
def test_a_plugin_for_another_contract_is_a_fault(tmp_path, monkeypatch, stated, admitted):
    source = offering("old", head=f"DATAFLEX_API = {stated!r}")
    monkeypatch.syspath_prepend(install_plugin(tmp_path, "dfx-api", source))
    catalog = discover()
    assert bool(catalog.named("old")) is admitted
    assert [f.stage for f in catalog.faults] == ([] if admitted else ["version"])
    assert admitted or f"version {stated!r} of DataFlex's plugin contract" in catalog.faults[0].error
    sys.modules.pop("dfx_api", None)


# ----------------------------------------------------------------------------------------------------- single files


def test_a_file_is_a_plugin_whose_targets_it_holds_itself(mine):
    path = mine()
    found = discover([], plugins=Plugins(files=(path,)))
    record = found.resolve(Kind.SELECTOR, "mine")
    assert record.id == "dfx_mine.py/mine"
    assert record.load().__module__ == "dfx_mine"
    assert record.load_params()(k=4).k == 4
    again = discover([], plugins=Plugins(files=(path,)))
    assert again.resolve(Kind.SELECTOR, "mine").load() is record.load(), "one class a process"


def test_another_text_is_another_version(mine):
    def version():
        sys.modules.pop("dfx_mine", None)
        return discover([], plugins=Plugins(files=(path,))).records[0].version

    path = mine()
    first = version()
    assert version() == first
    mine(MINE + "# more\n")
    assert version() != first


def test_files_come_beside_what_is_installed(mine):
    found = discover(plugins=Plugins(only=frozenset(), files=(mine(),)))
    assert _distributions(found) == {BUILT_IN, "dfx_mine.py"}


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("dfx_mine.txt", MINE, "is no Python module"),
        ("dfx-mine.py", MINE, "is no Python module"),
        ("dfx_mine.py", None, "does not exist"),
        ("json.py", MINE, "has the name of another module"),
        ("torch.py", MINE, "has the name of another module"),
        ("dfx_mine.py", "import dfx_none", "failed at import: ModuleNotFoundError"),
        ("dfx_mine.py", "def (", "failed at import: SyntaxError"),
        ("dfx_mine.py", "", "failed at yield: StrategyFault: implements no hook"),
        ("dfx_mine.py", "DATAFLEX_API = 9\n" + MINE, "failed at version"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused(mine, tmp_path, name, source, said):
    path = tmp_path / name if source is None else mine(source, name)
    with pytest.raises(InvalidPlugin, match=said) as caught:
        discover([], plugins=Plugins(files=(path,)))
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert "dfx_mine" not in sys.modules or source is not None


def test_a_bad_file_can_be_mended_and_asked_for_again(mine):
    with pytest.raises(InvalidPlugin):
        discover([], plugins=Plugins(files=(mine("import dfx_none"),)))
    assert discover([], plugins=Plugins(files=(mine(),))).named("mine")


def test_a_name_offered_twice_is_listed_twice_with_its_ids(tmp_path, monkeypatch):
    points = [EntryPoint(name=n, value=f"dfx_{n}", group="dataflex") for n in ("a", "b")]
    monkeypatch.syspath_prepend(tmp_path)
    for name, offered in (("a", ("less", "alone")), ("b", ("less",))):
        (tmp_path / f"dfx_{name}.py").write_text(offering(*offered))
    assert sorted(r.id for r in discover(points).ambiguous()) == ["dfx_a/less", "dfx_b/less"]
    for name in ("a", "b"):
        sys.modules.pop(f"dfx_{name}")


def test_the_built_in_distribution_goes_by_that_name():
    assert BUILT_IN in {point.dist.name for point in entry_points(group="dataflex")}
