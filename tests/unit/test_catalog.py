"""catalog.py: discovery, faults as data, and what a name means."""

import sys
from importlib.metadata import EntryPoint, distribution

import pytest

from dataflex_core.catalog import Catalog, Record, discover
from dataflex_core.errors import AmbiguousStrategy, StrategyFault, UnknownStrategy, WrongKind
from dataflex_core.spec import Kind, StrategySpec

HEAD = "from dataflex_core import Kind, StrategySpec, hookimpl\n"


def offering(*names, kind="selector"):
    lines = "".join(
        f"    yield StrategySpec(kind={kind!r}, name={name!r}, target='m:C', summary='does it')\n" for name in names
    )
    return f"{HEAD}@hookimpl\ndef dataflex_strategies():\n{lines}"


GOOD = "dfx_good"
BAD = {
    "missing import": ("import", "import dfx_no_such_module", "ModuleNotFoundError: "),
    "error at import": ("import", "raise RuntimeError('one\\ntwo')", "RuntimeError: one"),
    "exit at import": ("import", "raise SystemExit(3)", "SystemExit: 3"),
    "syntax error": ("import", "def (", "SyntaxError: "),
    "malformed spec at import": (
        "import",
        HEAD + "S = StrategySpec(kind='selector', name='No Name', target='m:C', summary='s')",
        "StrategyFault: strategy name 'No Name' is malformed",
    ),
    "misspelt hook": (
        "register",
        HEAD + "@hookimpl\ndef dataflex_strategy():\n    return []",
        "PluginValidationError: ",
    ),
    "wrong argument": (
        "register",
        HEAD + "@hookimpl\ndef dataflex_strategies(config):\n    return []",
        "PluginValidationError: ",
    ),
    "no hook": ("yield", HEAD + "def dataflex_strategies():\n    return []", "StrategyFault: implements no hook"),
    "raising generator": ("yield", offering("fine") + "    raise KeyError('gone')", "KeyError: 'gone'"),
    "exiting generator": ("yield", offering("fine") + "    raise SystemExit", "SystemExit"),
    "wrong type": ("yield", offering("fine") + "    yield 'spec'", "StrategyFault: yields str, not StrategySpec"),
    "no iterable": ("yield", HEAD + "@hookimpl\ndef dataflex_strategies():\n    return 3", "TypeError: "),
}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write importable modules, forgotten at the end of the test."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        written.append(name)
        return EntryPoint(name=name.replace("_", "-"), value=name, group="dataflex")

    yield write
    for name in written:
        sys.modules.pop(name, None)


def record(name, kind=Kind.SELECTOR, distribution="one", target="m:C", params=None):
    spec = StrategySpec(kind=kind, name=name, target=target, params=params, summary="does it")
    return Record(spec=spec, distribution=distribution, version="1.0")


def catalog(*records):
    return Catalog(records=records)


# ------------------------------------------------------------------------------------------------------- discovery


@pytest.mark.parametrize("last", [False, True], ids=["bad first", "bad last"])
@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_a_fault_and_spoils_no_other(module, case, last):
    stage, source, error = BAD[case]
    points = [module("dfx_bad", source), module(GOOD, offering("good", "better"))]
    found = discover(reversed(points) if last else points)
    assert [r.id for r in found.of_kind()] == [f"{GOOD}/better", f"{GOOD}/good"]
    (fault,) = found.faults
    assert (fault.stage, fault.distribution, fault.entry_point) == (stage, "dfx_bad", "dfx-bad = dfx_bad")
    assert fault.error.startswith(error)
    assert "\n" not in fault.error


def test_an_attribute_that_is_missing_is_an_import_fault(module):
    module("dfx_bare", "")
    found = discover([EntryPoint(name="bare", value="dfx_bare:plugin", group="dataflex")])
    assert [(f.stage, f.entry_point) for f in found.faults] == [("import", "bare = dfx_bare:plugin")]


def test_an_interruption_is_no_fault(module):
    with pytest.raises(KeyboardInterrupt):
        discover([module("dfx_interrupted", "raise KeyboardInterrupt")])


def test_a_plugin_may_offer_nothing(module):
    nothing = module("dfx_nothing", HEAD + "@hookimpl\ndef dataflex_strategies():\n    return []")
    assert discover([nothing]) == Catalog(records=(), faults=())


RULES = """from dataflex_core import GradientRule, hookimpl
@hookimpl
def dataflex_gradient_rules():
    yield GradientRule(layer="dfx_layers:Scale", rule={rule!r})
"""


def test_a_plugin_may_offer_gradient_rules_alone(module):
    found = discover([module("dfx_rules", RULES.format(rule="dfx_layers:scale")), module(GOOD, offering("good"))])
    assert not found.faults
    (rule,) = found.rules
    assert (rule.rule.layer, rule.rule.rule, rule.distribution) == ("dfx_layers:Scale", "dfx_layers:scale", "dfx_rules")
    with pytest.raises(StrategyFault, match=r"gradient rule for dfx_layers:Scale .* does not load: No module"):
        rule.load()
    module("dfx_layers", "class Scale: ...\ndef scale(): ...\n")
    layer, function = rule.load()
    assert (layer.__name__, function.__name__) == ("Scale", "scale")


def test_a_malformed_gradient_rule_is_a_fault(module):
    found = discover([module("dfx_rules", RULES.format(rule="no colon")), module(GOOD, offering("good"))])
    assert (found.rules, [r.spec.name for r in found.records]) == ((), ["good"])
    (fault,) = found.faults
    assert fault.stage == "yield"
    assert fault.error.startswith("StrategyFault: gradient rule: 'no colon' is malformed")


def test_installed_distributions_are_found_by_name_and_version(module, tmp_path):
    module("dfx_installed", offering("installed", kind="mixer"))
    for name, value in {"dfx-one": "dfx_installed", "dfx-two": "dfx_absent", "dfx-three": "no entry point"}.items():
        info = tmp_path / f"{name.replace('-', '_')}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
        (info / "entry_points.txt").write_text(f"[dataflex]\nplug = {value}\n[other]\nplug = dfx_other\n")
    found = discover()
    (installed,) = found.named("dfx-one/installed")
    assert (installed.distribution, installed.version, installed.spec.kind) == ("dfx-one", "1.5", Kind.MIXER)
    faults = {(f.distribution, f.version, f.stage, f.entry_point) for f in found.faults}
    assert {
        ("dfx-two", "1.5", "import", "plug = dfx_absent"),
        ("dfx-three", "1.5", "import", "plug = no entry point"),
    } <= faults


# ------------------------------------------------------------------------------------------------------ resolution


def test_a_name_offered_twice_hurts_only_who_asks_for_it(module):
    found = discover([module("dfx_a", offering("less", "alone")), module("dfx_b", offering("less"))])
    assert not found.faults
    assert [r.id for r in found.named("less")] == ["dfx_a/less", "dfx_b/less"]
    with pytest.raises(AmbiguousStrategy, match="less") as caught:
        found.resolve(Kind.SELECTOR, "less")
    for name in ("dfx_a/less", "dfx_b/less"):
        assert name in caught.value.hint
        assert found.resolve(Kind.SELECTOR, name).id == name
    assert found.resolve(Kind.SELECTOR, "alone").id == "dfx_a/alone"


def test_a_distribution_that_offers_a_name_twice_leaves_no_name_that_cannot_be_asked_for(module):
    found = discover([module("dfx_twice", offering("less", "less"))])
    assert found.faults or found.resolve(Kind.SELECTOR, "dfx_twice/less")


def test_two_plugins_of_a_distribution_may_not_offer_one_name(module, tmp_path):
    for name in ("dfx_one", "dfx_two"):
        module(name, offering("less"))
    info = tmp_path / "dfx_both-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dfx-both\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dataflex]\none = dfx_one\ntwo = dfx_two\n")
    found = discover(distribution("dfx-both").entry_points)
    assert [fault.entry_point for fault in found.faults] == ["two = dfx_two"]
    assert found.resolve(Kind.SELECTOR, "less").id == "dfx-both/less"


@pytest.mark.parametrize("kind", Kind)
def test_a_name_means_the_strategy_of_the_kind_asked_for(kind):
    found = catalog(*(record("loss", each) for each in Kind))
    for name in ("loss", "one/loss"):
        assert found.resolve(kind, name).spec.kind is kind


@pytest.mark.parametrize("asked", Kind)
@pytest.mark.parametrize("offered", Kind)
@pytest.mark.parametrize("name", ["mine", "one/mine"])
def test_a_strategy_of_another_kind(asked, offered, name):
    found = catalog(record("mine", offered), record("other", asked))
    if asked is offered:
        assert found.resolve(asked, name).id == "one/mine"
        return
    with pytest.raises(WrongKind, match=f"is a {offered}, not a {asked}") as caught:
        found.resolve(asked, name)
    assert caught.value.hint == f"write --{offered} {name}"


@pytest.mark.parametrize(
    ("name", "hint"), [("les", "did you mean 'less'?"), ("zebra", "known: less, random"), ("two/less", None)]
)
def test_an_unknown_name_says_what_there_is(name, hint):
    found = catalog(record("less"), record("random"), record("lesson", Kind.MIXER))
    with pytest.raises(UnknownStrategy, match=f"no selector is called '{name}'") as caught:
        found.resolve(Kind.SELECTOR, name)
    assert hint is None or caught.value.hint == hint


def test_an_unknown_name_may_be_that_of_a_plugin_that_failed(module):
    found = discover([module("dfx_broken", "raise RuntimeError"), module("dfx_good", offering("less"))])
    with pytest.raises(UnknownStrategy) as caught:
        found.resolve(Kind.SELECTOR, "mine")
    assert caught.value.hint == "known: less; dfx_broken failed, and dataflex plugins list says why"


def test_an_unknown_name_where_nothing_is_installed():
    with pytest.raises(UnknownStrategy) as caught:
        catalog().resolve(Kind.WEIGHTER, "loss")
    assert caught.value.hint == "there are none"


def test_records_are_listed_by_kind_name_and_distribution():
    listed = [
        record("zeta"),
        record("alpha", Kind.WEIGHTER),
        record("alpha", Kind.MIXER, "two"),
        record("alpha", Kind.MIXER, "one"),
        record("beta"),
    ]
    found = catalog(*listed)
    assert [(r.spec.kind.value, r.id) for r in found.of_kind()] == [
        ("selector", "one/beta"),
        ("selector", "one/zeta"),
        ("mixer", "one/alpha"),
        ("mixer", "two/alpha"),
        ("weighter", "one/alpha"),
    ]
    for kind in Kind:
        assert found.of_kind(kind) == tuple(r for r in found.of_kind() if r.spec.kind is kind)


# --------------------------------------------------------------------------------------------------------- loading


def test_loading_imports_the_class_and_its_parameters_only_then(module):
    module("dfx_impl", "class Mine: pass\nclass Params: pass\n")
    mine = record("mine", target="dfx_impl:Mine", params="dfx_impl:Params")
    assert "dfx_impl" not in sys.modules
    assert mine.load().__name__ == "Mine"
    assert mine.load_params().__name__ == "Params"
    assert record("bare", target="dfx_impl:Mine").load_params() is None


@pytest.mark.parametrize("load", ["load", "load_params"])
@pytest.mark.parametrize(
    "source",
    [
        "",
        "import dfx_no_such",
        "raise ImportError('broken')",
        "raise RuntimeError('broken')",
        "def (",
        "raise SystemExit",
    ],
    ids=["no such name", "dependency missing", "ImportError", "RuntimeError", "SyntaxError", "SystemExit"],
)
def test_an_implementation_that_does_not_load_is_a_strategy_fault(module, load, source):
    module("dfx_broken", source)
    broken = record("mine", distribution="their-dist", target="dfx_broken:Mine", params="dfx_broken:Params")
    with pytest.raises(StrategyFault, match="selector their-dist/mine does not load") as caught:
        getattr(broken, load)()
    assert "their-dist 1.0 points at dfx_broken:" in caught.value.hint
    assert caught.value.__cause__ is not None
