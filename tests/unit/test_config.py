"""config: a file, one section, and what is laid over them make one validated run."""

import json
import re

import pytest

from dataflex_core.config.load import examine_config, load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.config.section import DataflexConfig, RunConfig, StrategyChoice
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind


@pytest.fixture
def load(tmp_path):
    """Load a configuration from text, or from a value written as JSON."""

    def read(content, *words, suffix=".yaml", **others):
        path = tmp_path / f"run{suffix}"
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return load_config(path, Overrides(words=words, **others))

    return read


@pytest.fixture
def refused(load):
    """The one line with which a configuration is refused."""

    def read(*arguments, **options):
        with pytest.raises(InvalidConfig) as caught:
            load(*arguments, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return read


# --------------------------------------------------------------------------------------------------------- reading

TEXT = "model: qwen\nlearning_rate: 1e-4\nnested: {a: [1, 2]}\ndataflex:\n  warmup_steps: 3\n  selector: less\n"
SAME = RunConfig(
    args={"model": "qwen", "learning_rate": 1e-4, "nested": {"a": [1, 2]}},
    dataflex=DataflexConfig(warmup_steps=3, selector=StrategyChoice(name="less")),
)


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
def test_yaml_is_read(load, suffix):
    assert load(TEXT, suffix=suffix) == SAME


@pytest.mark.parametrize("suffix", [".json", ".JSON"])
def test_json_is_read(load, suffix):
    same = {**SAME.args, "dataflex": {"warmup_steps": 3, "selector": {"name": "less"}}}
    assert load(same, suffix=suffix) == SAME


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "{}"])
def test_a_file_without_settings_is_a_run_without_strategies(load, text):
    assert load(text) == load_config() == RunConfig(args={}, dataflex=DataflexConfig())


@pytest.mark.parametrize(
    ("text", "args"),
    [("dataflex:\n", {}), ("resume_from_checkpoint: null\n", {"resume_from_checkpoint": None}), ("a:\nb:\n", None)],
)
def test_yaml_keys_without_values_are_settings_as_they_are_in_json(load, text, args):
    args = {"a": None, "b": None} if args is None else args
    assert load(text) == RunConfig(args=args, dataflex=DataflexConfig())


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        ("- a\n- b\n", ".yaml"),
        ("[1, 2]", ".json"),
        ("just words", ".yaml"),
        ('"a: 1"', ".json"),
        ("3", ".json"),
        ("null", ".json"),
        ("1: 2", ".yaml"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(refused, content, suffix):
    assert f"run{suffix}" in refused(content, suffix=suffix)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        ("a: [1", ".yaml"),
        ("a: 1\n b: 2\n", ".yaml"),
        ("a: 1\na: 2\n", ".yaml"),
        ("a: !!python/object:os.system {}", ".yaml"),
        ("a: ${", ".yaml"),
        ("{", ".json"),
        ("", ".json"),
        ("{'a': 1}", ".json"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(refused, content, suffix):
    assert f"run{suffix} is malformed: " in refused(content, suffix=suffix)


@pytest.mark.parametrize(
    ("content", "suffix"),
    [
        ("[" * 100_000, ".json"),
        ('{"a":' * 100_000, ".json"),
        ("a: " + "[" * 1_200 + "]" * 1_200, ".yaml"),
        ("a: " + "{b: " * 1_200 + "1" + "}" * 1_200, ".yaml"),
    ],
)
def test_a_file_that_is_nested_too_deep_is_refused(refused, content, suffix):
    assert f"run{suffix} is malformed: it is nested too deep to be read" in refused(content, suffix=suffix)


@pytest.mark.parametrize(
    ("content", "told"),
    [("1: 2", "1"), ("null: 2", "null"), ("no: 2", "false"), ("a: 1\n2.5: x", "2.5"), ("2024-01-01: x", "2024-01-01")],
)
def test_a_key_that_is_no_text_is_named(tmp_path, content, told):
    (tmp_path / "run.yaml").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidConfig, match=f"the key {told} is no text") as caught:
        load_config(tmp_path / "run.yaml")
    assert "in quotes" in caught.value.hint


def test_a_key_below_another_that_is_no_text_is_told_to_be_one(tmp_path):
    (tmp_path / "run.yaml").write_text("deepspeed:\n  null: 1\n", encoding="utf-8")
    with pytest.raises(InvalidConfig) as caught:
        load_config(tmp_path / "run.yaml")
    assert "in quotes" in caught.value.hint


def test_a_reference_to_nothing_is_refused(refused):
    assert "'nowhere' not found" in refused("a: ${nowhere}")


def test_a_missing_file_is_refused_with_a_remedy(tmp_path):
    with pytest.raises(InvalidConfig, match=r"absent\.yaml does not exist") as caught:
        load_config(tmp_path / "absent.yaml")
    assert "dataflex init" in caught.value.hint


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"a: \xff\xfe\n")
    for name in ("folder.yaml", "bytes.yaml"):
        with pytest.raises(InvalidConfig, match=f"{name} cannot be read"):
            load_config(tmp_path / name)


@pytest.mark.parametrize("suffix", [".toml", ".txt", ""])
def test_a_file_of_another_format_is_refused(refused, suffix):
    assert "no YAML or JSON" in refused("a: 1", suffix=suffix)


# ------------------------------------------------------------------------------------------------------- overrides


@pytest.mark.parametrize(
    ("override", "args"),
    [
        ("a=2", {"a": 2, "b": {"c": 1}}),
        ("a=x=y", {"a": "x=y", "b": {"c": 1}}),
        ("a=1e-5", {"a": 1e-5, "b": {"c": 1}}),
        ("a=", {"a": None, "b": {"c": 1}}),
        ("a=[1,2]", {"a": [1, 2], "b": {"c": 1}}),
        ("b.d=true", {"a": 1, "b": {"c": 1, "d": True}}),
        ("b.c=2", {"a": 1, "b": {"c": 2}}),
        ("n.e.w=1", {"a": 1, "b": {"c": 1}, "n": {"e": {"w": 1}}}),
        ("d=${a}", {"a": 1, "b": {"c": 1}, "d": 1}),
    ],
)
def test_overrides_are_merged(load, override, args):
    assert load("a: 1\nb: {c: 1}", override).args == args


def test_the_last_override_wins_and_none_needs_a_file():
    assert load_config(None, Overrides(words=("dataflex.updates=2", "a=1", "a=3"))) == RunConfig(
        args={"a": 3}, dataflex=DataflexConfig(updates=2)
    )


@pytest.mark.parametrize("override", ["a", "=1", "--a=1", "1a=1", "a b=1", ""])
def test_a_word_that_is_no_override_is_refused(refused, override):
    assert "write KEY=VALUE" in refused("a: 1", override)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a=[1", "the overrides cannot be merged: line 2"),
        ("a=${b}", "a: Interpolation key 'b' not found"),
        ("a.x=1", "the overrides cannot be merged: Cannot merge incompatible container types"),
    ],
)
def test_an_override_that_cannot_be_merged_is_refused(refused, override, said):
    assert refused("a: [1, 2]", override).startswith(said)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("a=???",), ["a"]),
        (("b.c=???", "b.d=???"), ["b.c", "b.d"]),
        (("a=['???']",), ["a.0"]),
        (("a=???", "a=3"), []),
        (("dataflex.selector.k=???",), ["dataflex.selector.k"]),
    ],
)
def test_an_override_that_is_still_to_be_given_is_refused_whatever_the_file_has(refused, load, words, told):
    text = "a: 1\nb: {c: 2}\ndataflex: {selector: {name: less, k: 2}}"
    if not told:
        assert load(text, *words).args["a"] == 3
        return
    assert re.findall(r"(\S+) is \?\?\?", refused(text, *words)) == told


def test_a_parameter_that_is_still_to_be_given_is_refused_whatever_the_file_has(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("dataflex: {selector: {name: less, k: 2}}")
    for asked in ("selector.k", "selector.other"):
        with pytest.raises(InvalidConfig, match=rf"^dataflex\.{asked} is \?\?\?"):
            load_config(path, Overrides(parameter_words=(f"{asked}=???",)))


def test_an_override_reaches_what_refers_to_it(load):
    assert load("name: one\noutput_dir: out/${name}", "name=two").args["output_dir"] == "out/two"


def test_an_escaped_reference_stays_text(load):
    assert load("a: \\${b}").args == {"a": "${b}"}


# ------------------------------------------------------------------------------------------------------ strategies


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("written", ["less", {"name": "less"}])
def test_a_strategy_may_be_written_as_its_name(load, kind, written):
    config = load({"dataflex": {kind.value: written}}, suffix=".json").dataflex
    assert config.choice(kind) == StrategyChoice(name="less", params={})
    assert config.active == (kind,)


def test_parameters_stand_beside_the_name(load):
    config = load("dataflex: {selector: {name: less, k: 3}, weighter: loss}").dataflex
    assert config.selector == StrategyChoice(name="less", params={"k": 3})
    assert config.active == (Kind.SELECTOR, Kind.WEIGHTER)


@pytest.mark.parametrize("written", ["less", {"name": "less"}])
def test_an_override_may_add_a_parameter_to_either_spelling(load, written):
    config = load({"dataflex": {"selector": written}}, "dataflex.selector.k=3", suffix=".json").dataflex
    assert config.selector == StrategyChoice(name="less", params={"k": 3})


FLAGGED = pytest.mark.parametrize(
    ("written", "flag", "chosen"),
    [
        (None, "loss", StrategyChoice(name="loss")),
        ("less", "loss", StrategyChoice(name="loss")),
        ({"name": "less", "k": 3}, "loss", StrategyChoice(name="loss")),
        ({"name": "less", "k": 3}, "less", StrategyChoice(name="less", params={"k": 3})),
        ({"k": 3}, "less", StrategyChoice(name="less", params={"k": 3})),
        ({"name": "less", "k": 3}, None, StrategyChoice(name="less", params={"k": 3})),
    ],
    ids=["no file", "shorthand", "another name drops parameters", "same name keeps them", "no name", "no flag"],
)


@pytest.mark.parametrize("kind", Kind)
@FLAGGED
def test_a_flag_replaces_the_strategy(load, kind, written, flag, chosen):
    strategies = {} if flag is None else {kind: flag}
    config = load({"dataflex": {kind.value: written}}, suffix=".json", strategies=strategies).dataflex
    assert config.choice(kind) == chosen
    assert config.active == (kind,)


@pytest.mark.parametrize("kind", Kind)
@FLAGGED
def test_an_override_replaces_the_strategy_as_a_flag_does(load, kind, written, flag, chosen):
    overrides = [] if flag is None else [f"dataflex.{kind}={flag}"]
    config = load({"dataflex": {kind.value: written}}, *overrides, suffix=".json").dataflex
    assert config.choice(kind) == chosen


@pytest.mark.parametrize(
    "words", [("dataflex.mixer=m", "dataflex.mixer.k=3"), ("dataflex.mixer.k=3", "dataflex.mixer=m")]
)
def test_overrides_may_name_a_strategy_and_its_parameters(load, words):
    config = load({"dataflex": {"mixer": {"name": "other", "z": 1}}}, *words, suffix=".json").dataflex
    assert config.mixer == StrategyChoice(name="m", params={"k": 3})


@pytest.mark.parametrize("nothing", ["null", "~", "NULL"])
def test_an_override_may_ask_for_no_strategy(load, nothing):
    assert load("dataflex: {mixer: static}", f"dataflex.mixer={nothing}").dataflex.active == ()


def test_a_flag_for_one_kind_leaves_the_others(load):
    config = load("dataflex: {mixer: {name: odm, a: 1}}", strategies={Kind.SELECTOR: "less"}).dataflex
    assert config.mixer == StrategyChoice(name="odm", params={"a": 1})
    assert config.active == (Kind.SELECTOR, Kind.MIXER)


NO_STRATEGY = [3, [], ["less"], {"k": 3}, {"name": 3}, {"name": None}, True]


@pytest.mark.parametrize(
    ("kind", "written"),
    [(kind, written) for kind in Kind for written in NO_STRATEGY if (kind, written) != (Kind.WEIGHTER, ["less"])],
)
def test_a_strategy_without_a_name_is_refused(refused, kind, written):
    assert f"dataflex.{kind}" in refused({"dataflex": {kind.value: written}}, suffix=".json")


# ---------------------------------------------------------------------------------------------------------- values


def test_values_are_laid_over_file_and_words_as_they_are(load):
    values = {"a": [1, "x"], "b.c": None, "e": True, "f": 1e-5}
    assert load("a: [2]\nb: {d: 3}\nf: 2\n", "e=1", values=values).args == {
        "a": [1, "x"],
        "b": {"d": 3, "c": None},
        "e": True,
        "f": 1e-5,
    }


@pytest.mark.parametrize("text", ["${a}", "\\${a}", "\\\\${a} ${", "x\\y", "[1", "null"])
def test_the_text_of_a_value_is_no_reference_and_no_yaml(load, text):
    assert load("a: 1", values={"b": text, "c": [{"d": text}]}).args == {"a": 1, "b": text, "c": [{"d": text}]}


def test_values_reach_the_section(load):
    config = load("dataflex: {allow_changed: [data], updates: 3}", values={"dataflex.allow_changed": ("schedule",)})
    assert config.dataflex == DataflexConfig(updates=3, allow_changed=("schedule",))


@pytest.mark.parametrize("kind", Kind)
def test_a_kind_may_be_left_out(load, kind):
    written = {"dataflex": {kind.value: {"name": "less", "k": 3}}}
    assert load(written, suffix=".json", strategies={kind: None}).dataflex.active == ()
    named = load(written, f"dataflex.{kind}=loss", suffix=".json", strategies={kind: None}).dataflex
    assert named.choice(kind) == StrategyChoice(name="loss")


def test_overrides_know_the_keys_that_they_set():
    overrides = Overrides(
        words=("a.b=1=2", "c="),
        values={"dataflex.updates": 1},
        strategies={Kind.SELECTOR: "less", Kind.MIXER: None},
        parameter_words=("selector.k.l=3",),
    )
    assert list(overrides.keys()) == [
        ("a", "b"),
        ("c",),
        ("dataflex", "updates"),
        ("dataflex", "selector", "name"),
        ("dataflex", "mixer"),
        ("dataflex", "selector", "k", "l"),
    ]


# ------------------------------------------------------------------------------------------------- parameter words


@pytest.mark.parametrize("kind", Kind)
def test_parameter_words_reach_the_strategy_that_the_flag_chose(load, kind):
    config = load(
        {"dataflex": {kind.value: {"name": "less", "k": 3}}},
        suffix=".json",
        strategies={kind: "loss"},
        parameter_words=(f"{kind}.boost=2", f"{kind}.deep.er=[1, x]", f"{kind}.boost=2.5"),
    ).dataflex
    assert config.choice(kind) == StrategyChoice(name="loss", params={"boost": 2.5, "deep": {"er": [1, "x"]}})


@pytest.mark.parametrize("word", ["selector.k", "selector=1", "selecter.k=1", "k=1", "warmup_steps.k=1", ""])
def test_a_parameter_word_that_is_none_is_refused(refused, word):
    line = refused("dataflex: {selector: less}", parameter_words=(word,))
    assert f"--set {word} is not understood" in line
    assert all(f"{kind}.PARAM=VALUE" in line for kind in Kind)


@pytest.mark.parametrize("kind", Kind)
def test_a_parameter_word_for_a_strategy_that_was_not_asked_for_is_refused(refused, kind):
    assert f"the run has no {kind} (add --{kind} NAME)" in refused("a: 1", parameter_words=(f"{kind}.k=1",))


def test_a_parameter_word_leaves_escaped_references_alone(load):
    written = {"dataflex": {"selector": {"name": "less", "text": r"\${b}"}}}
    config = load(written, suffix=".json", parameter_words=("selector.k=1",))
    assert config.dataflex.selector == StrategyChoice(name="less", params={"text": "${b}", "k": 1})


# ------------------------------------------------------------------------------------------------ several weighters

LOSS, RHO = StrategyChoice(name="loss"), StrategyChoice(name="rho-1", params={"keep": 0.5})
TWO = "dataflex: {weighter: [loss, {name: rho-1, keep: .5}]}"


@pytest.mark.parametrize(
    ("text", "weighters"),
    [
        (TWO, (LOSS, RHO)),
        ("dataflex: {weighter: [{name: rho-1, keep: .5}]}", (RHO,)),
        ("dataflex: {weighter: {name: rho-1, keep: .5}}", (RHO,)),
        ("dataflex: {weighter: [loss, loss]}", (LOSS, LOSS)),
        ("dataflex: {weighter: loss}", (LOSS,)),
        ("dataflex: {weighter: null}", ()),
    ],
)
def test_weighters_may_be_several_in_their_order(load, text, weighters):
    config = load(text)
    assert config.dataflex.weighter == weighters
    assert RunConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config


@pytest.mark.parametrize(
    ("text", "words", "weighters"),
    [
        (TWO, ["dataflex.weighter=null"], ()),
        (TWO, ["dataflex.weighter=loss"], (LOSS,)),
        (TWO, ["dataflex.weighter=[rho-1]"], (StrategyChoice(name="rho-1"),)),
        (TWO, ["dataflex.weighter=[uniform,loss]"], (StrategyChoice(name="uniform"), LOSS)),
        (TWO, ["dataflex.weighter.1.keep=.7"], (LOSS, StrategyChoice(name="rho-1", params={"keep": 0.7}))),
        ("a: 1", ["dataflex.weighter=[loss,rho-1]", "dataflex.weighter.1.keep=.5"], (LOSS, RHO)),
        ("dataflex: {weighter: rho-1}", ["dataflex.weighter.0.keep=.5"], (RHO,)),
        ("dataflex: {weighter: [rho-1]}", ["dataflex.weighter.keep=.5"], (RHO,)),
    ],
)
def test_words_name_a_weighter_by_its_position(load, text, words, weighters):
    assert load(text, *words).dataflex.weighter == weighters


@pytest.mark.parametrize(
    ("names", "weighters"),
    [
        ("rho-1", (RHO,)),
        (("uniform", "rho-1"), (StrategyChoice(name="uniform"), RHO)),
        (("rho-1", "rho-1"), (RHO, StrategyChoice(name="rho-1"))),
        (None, ()),
    ],
)
def test_flags_take_the_parameters_of_the_weighters_that_they_name(load, names, weighters):
    assert load(TWO, strategies={Kind.WEIGHTER: names}).dataflex.weighter == weighters


@pytest.mark.parametrize(
    ("text", "word"),
    [(TWO, "weighter.1.keep=.7"), ("dataflex: {weighter: rho-1}", "weighter.keep=.7")],
)
def test_a_parameter_word_names_a_weighter_by_its_position(load, text, word):
    assert load(text, parameter_words=(word,)).dataflex.weighter[-1].params == {"keep": 0.7}


@pytest.mark.parametrize(
    ("words", "parameter_words", "said"),
    [
        ([], ("weighter.keep=1",), "--set weighter.keep=1: the run has 2 weighters (say which by its position"),
        ([], ("weighter.2.keep=1",), "--set weighter.2.keep=1: the run has 2 weighters (positions count from 0)"),
        (["dataflex.weighter.keep=1"], (), "dataflex.weighter.keep: the run has 2 weighters (say which by its"),
        (["dataflex.weighter.3.keep=1"], (), "dataflex.weighter.3: the run has 2 weighters (positions count"),
    ],
)
def test_a_weighter_that_is_not_there_or_not_clear_is_refused(refused, words, parameter_words, said):
    assert said in refused(TWO, *words, parameter_words=parameter_words)


@pytest.mark.parametrize("item", [3, None, {"k": 1}, {"name": 3}, ["loss"]])
def test_each_weighter_has_a_name(refused, item):
    assert "dataflex.weighter.1 " in refused({"dataflex": {"weighter": ["loss", item]}}, suffix=".json")


# ------------------------------------------------------------------------------------------------------ validation


@pytest.mark.parametrize(
    ("key", "written", "value"),
    [
        ("warmup_steps", 0, 0),
        ("update_steps", 1, 1),
        ("updates", 5, 5),
        ("updates", None, None),
        ("candidates", "all", "all"),
        ("candidates", "4x", 4.0),
        ("candidates", "1.5 x", 1.5),
        ("candidates", "4\u00d7", 4.0),
        ("candidates", 4, 4.0),
        ("candidates", 1, 1.0),
        ("selection_budget", 0.5, 0.5),
        ("exhaustion", "next-epoch", "next-epoch"),
        ("exhaustion", "renormalise", "renormalise"),
        ("exhaustion", "error", "error"),
        ("warmup_proportions", "size", "size"),
        ("warmup_proportions", "uniform", "uniform"),
        ("warmup_proportions", {"a": 1, "b": 0}, {"a": 1.0, "b": 0.0}),
        ("token_budget", 4096, 4096),
    ],
)
def test_good_values(load, key, written, value):
    found = getattr(load({"dataflex": {key: written}}, suffix=".json").dataflex, key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "written", "rule"),
    [
        ("warmup_steps", -1, "greater than or equal to 0"),
        ("warmup_steps", None, "integer"),
        ("warmup_steps", 1.5, "integer"),
        ("update_steps", 0, "greater than 0"),
        ("updates", 0, "greater than 0"),
        ("updates", "many", "integer"),
        ("candidates", 0.5, "greater than or equal to 1"),
        ("candidates", "0.5x", "greater than or equal to 1"),
        ("candidates", "some", "'all'"),
        ("candidates", "1.2.3x", "number"),
        ("selection_budget", 0, "greater than 0"),
        ("selection_budget", 101, "less than or equal to 100"),
        ("exhaustion", "stop", "'next-epoch', 'renormalise' or 'error'"),
        ("warmup_proportions", "even", "'size' or 'uniform'"),
        ("warmup_proportions", {"a": -1}, "greater than or equal to 0"),
        ("token_budget", 0, "greater than 0"),
    ],
)
def test_bad_values_are_refused_with_key_and_rule(refused, key, written, rule):
    line = refused({"dataflex": {key: written}}, suffix=".json")
    assert line.startswith(f"dataflex.{key}=")
    assert rule in line


def test_an_unknown_key_is_refused_with_a_suggestion(refused):
    line = refused("dataflex: {warmup_step: 3, 7: x}")
    assert "unknown key dataflex.warmup_step (did you mean 'warmup_steps'?)" in line
    assert "unknown key dataflex.7 (known: " in line


@pytest.mark.parametrize(
    ("written", "key", "near"),
    [
        ("spread={temprature: 3}", "spread.temprature", "temperature"),
        ("spread.repeat=2", "spread.repeat", "repeats"),
        ("keep={score: false}", "keep.score", "scores"),
    ],
)
def test_an_unknown_key_of_a_group_is_refused_with_a_suggestion(written, key, near):
    _, faults = examine_config(None, Overrides(words=(f"dataflex.{written}",)))
    told = [(fault.message, fault.hint, fault.key) for fault in faults]
    assert told == [(f"unknown key dataflex.{key}", f"did you mean {near!r}?", ("dataflex", *key.split(".")))]


@pytest.mark.parametrize(
    "extra",
    ["exhaustion: stop", "candidates: 2x, selection_budget: 1", "selector: 3", "selector: {k: 1}"],
)
def test_every_fault_is_in_one_line(refused, extra):
    line = refused(f"dataflex: {{warmup_step: 3, update_steps: 0, {extra}}}")
    for key in ("warmup_step", "update_steps", extra.split(":")[0]):
        assert key in line


@pytest.mark.parametrize("section", ["3", "less", "[selector]", "true"])
def test_a_section_that_is_none_is_refused(refused, section):
    assert refused(f"dataflex: {section}").startswith("dataflex: is ")


@pytest.mark.parametrize("candidates", ["4x", 4, 1.0])
def test_candidates_and_a_budget_exclude_each_other(refused, candidates):
    line = refused({"dataflex": {"candidates": candidates, "selection_budget": 0.5}}, suffix=".json")
    assert "candidates and selection_budget exclude each other" in line


def test_a_budget_goes_with_the_default_candidates(load):
    assert load("dataflex: {candidates: all, selection_budget: 0.5}").dataflex.selection_budget == 0.5


def test_domains_may_be_called_by_whole_numbers(load):
    text = "dataflex: {warmup_proportions: {0: 1, 7: 0}, mixer: {name: static, proportions: {0: 2, 7: 1}}}"
    section = load(text).dataflex
    assert section.warmup_proportions == {"0": 1.0, "7": 0.0}
    assert section.mixer.params["proportions"] == {"0": 2, "7": 1}


# ------------------------------------------------------------------------------------------------------ round trip


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT,
        "a: null\nb: é\nc: [1, {d: 0.1}]\nlr: 1e-10\nwhen: 2024-01-01\nquoted: 'on'",
        "a: costs \\${b}",
        "dataflex: {candidates: 4x, updates: 3, exhaustion: error, warmup_proportions: {a: 1, b: 2.5}}",
        "dataflex: {selection_budget: 0.5, token_budget: 9, selector: {name: less, k: [1, null], deep: {er: x}}}",
        "dataflex: {selector: one/less, mixer: odm, weighter: {name: loss, delta: 1.5}}",
    ],
    ids=["empty", "plain", "kinds of values", "escaped", "settings", "parameters", "three strategies"],
)
def test_the_merged_configuration_reads_back_the_same(load, text):
    config = load(text)
    assert RunConfig.from_plain(json.loads(json.dumps(config.to_plain()))) == config
