"""Bad input gets one clear line and its exit code; no traceback, nothing written."""

from __future__ import annotations

import json
import sys

import pytest
from support import base_args, build_data, offering

from dataflex_cli.main import main
from dataflex_cli.request import Request
from dataflex_core.errors import InvalidConfig


@pytest.fixture
def dataflex(monkeypatch, capfd):
    """Run the command as a shell would; exit code, stdout, stderr."""
    # LLaMA-Factory's log handler keeps the stream of the test that first imported it.
    monkeypatch.setattr("logging.raiseExceptions", False)

    def call(*words):
        monkeypatch.setattr("sys.argv", ["dataflex", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfd.readouterr()
        return stop.value.code, out, err

    return call


@pytest.fixture
def config(model, data, tmp_path):
    """Write a configuration and give its path."""

    def write(text=None, name="config.yaml", **changes):
        path = tmp_path / name
        args = base_args(model, data, tmp_path / "out", **changes)
        path.write_text(json.dumps(args) if text is None else text)
        return path

    return write


# What is written, extra words on the command line, and what the error must say.
OLD = {"train_type": "dynamic_select", "update_step": 2, "components_cfg_file": "configs/components.yaml"}
LIGHT = {
    "malformed YAML": ({"text": "a: [1, 2\nb: }"}, [], "is malformed"),
    "no settings": ({"text": "- 1\n- 2\n"}, [], "no settings"),
    "wrong suffix": ({"text": "a: 1", "name": "config.txt"}, [], "no YAML or JSON"),
    "unknown key of ours": ({"dataflex": {"update_stps": 3}}, [], "did you mean 'update_steps'"),
    "our section in capitals": ({"DataFlex": {"update_steps": 3}}, [], "did you mean 'dataflex'"),
    "our section misspelt": ({"datflex": {"update_steps": 3}}, [], "did you mean 'dataflex'"),
    "a key of ours above our section": ({"selector": "random"}, [], "write it below dataflex:"),
    "unknown key of LLaMA-Factory's": ({"learning_rat": 1e-3}, [], "did you mean 'learning_rate'"),
    "text for a number": ({"learning_rate": "fast"}, [], "is not a number"),
    "a number in quotes": ({"max_steps": "3"}, [], "write it without quotes"),
    "text for true or false": ({"bf16": "maybe"}, [], "write true or false"),
    "a list for a number": ({}, ["cutoff_len=[1,2]"], "cutoff_len=[1, 2] is not a number"),
    "a learning rate that is no number": ({}, ["learning_rate=.nan"], "learning_rate=nan should be a finite number"),
    "batches of nothing": ({"per_device_train_batch_size": 0}, [], "should be at least 1"),
    "no epochs": ({"num_train_epochs": 0}, ["--mixer", "random"], "should be more than 0"),
    "true for a number": ({"warmup_steps": True}, [], "warmup_steps is true, not a number"),
    "more steps than can be counted": ({"max_steps": 10**20}, [], "should be a number below 2^63"),
    "candidates without end": (
        {"dataflex": {"updates": 1}},
        ["--selector", "loss", "dataflex.candidates=.inf"],
        "dataflex.candidates=inf: input should be a finite number",
    ),
    "true for a number of ours": ({"dataflex": {"warmup_steps": True}}, [], "should be a number, not true"),
    "more decisions than can be counted": (
        {"dataflex": {"updates": 10**20}},
        ["--mixer", "random"],
        "should be a number below 2^63",
    ),
    "more decisions than a run can take": (
        {"dataflex": {"updates": 10**15}},
        ["--mixer", "random"],
        "the run has more than 1e+12 steps",
    ),
    "a parameter without end": ({}, ["--selector", "loss", "--set", "selector.boost=.inf"], "a finite number"),
    "true for a parameter's number": ({}, ["--selector", "loss", "--set", "selector.boost=true"], "not true"),
    "warm-up beyond the run": ({"dataflex": {"warmup_steps": 8}}, ["--mixer", "random"], "no step is left"),
    "nowhere to write to": ({"output_dir": " "}, [], "output_dir is empty"),
    "an output that is a file": ({"output_dir": __file__}, ["--mixer", "random"], "is no folder, but a file"),
    "an output below a file": ({"output_dir": f"{__file__}/out"}, [], "test_bad_input.py is no folder"),
    "an output that nobody can make": ({"output_dir": "/proc/out"}, [], "output_dir: /proc/out cannot be written to"),
    "an output too long for a name": ({"output_dir": "x" * 300}, [], "File name too long"),
    "a list for an output": ({"output_dir": ["out"]}, [], "output_dir"),
    "tokens that go nowhere": ({"tokenized_path": f"{__file__}/t"}, ["--mixer", "random"], "tokenized_path"),
    "a cache that is a file": ({"cache_dir": __file__}, [], "cache_dir"),
    "an output still to be given": ({"output_dir": "???"}, [], "output_dir is ???"),
    "an output given as nothing": ({}, ["output_dir="], "output_dir is empty"),
    "an output still to be given, over another": ({}, ["output_dir=???"], "output_dir is ???"),
    "no data set": ({}, ["dataset="], "dataset is empty"),
    "a store that is a file": ({"dataflex": {"store": __file__}}, ["--selector", "loss"], "dataflex.store: "),
    "a store that nobody can make": ({"dataflex": {"store": "/proc/x"}}, [], "dataflex.store: /proc/x cannot be"),
    "a misspelt key of what is kept": ({"dataflex": {"keep": {"text": False}}}, [], "did you mean 'texts'"),
    "a column that is no list": ({"dataflex": {"columns": "quality"}}, ["--mixer", "random"], "should be a list"),
    "a key that has another name today": ({"group_by_length": True}, [], "train_sampling_strategy: group_by_length"),
    "a number still to be given": ({"learning_rate": "???"}, [], "learning_rate is ???"),
    "a parameter still to be given": (
        {"dataflex": {"selector": {"name": "loss", "focus": "???"}}},
        [],
        "dataflex.selector.focus is ???",
    ),
    "a word that YAML reads as false": ({"save_strategy": False}, [], 'quote it: write save_strategy: "no"'),
    "a tracker that is not installed": ({"report_to": "codecarbon"}, ["--mixer", "random"], "pip install codecarbon"),
    "an optimizer that is not installed": ({"use_galore": True}, [], "pip install galore_torch"),
    "an engine's settings that are not there": ({"deepspeed": "none.json"}, [], "none.json does not exist"),
    "an adapter that is not there": ({"adapter_name_or_path": "./none"}, [], "adapter_name_or_path: ./none does not"),
    "a data set twice": ({"dataset": "words, numbers,words"}, ["--mixer", "random"], "dataset names words 2 times"),
    "two kinds of evaluation": ({"eval_dataset": "held", "val_size": 0.1}, [], "exclude each other"),
    "a batch that is split": (
        {"accelerator_config": {"split_batches": True}},
        ["--weighter", "loss"],
        "split_batches changes the batch",
    ),
    "two places to go on from": ({"resume_from_checkpoint": "."}, ["--resume"], "leave out --resume"),
    "nowhere to go on from": ({}, ["--resume", "resume_from_checkpoint=nowhere"], "resume_from_checkpoint is nowhere"),
    "no choice of a key": ({"finetuning_type": "lara"}, [], "did you mean 'lora'"),
    "unknown override": ({}, ["lora_rnk=3"], "did you mean 'lora_rank'"),
    "override without =": ({}, ["oops"], "is no override"),
    "section is no section": ({"dataflex": 3}, [], "not a section"),
    "negative steps": ({"dataflex": {"update_steps": 0}}, [], "greater than 0"),
    "steps that are words": ({"dataflex": {"warmup_steps": "many"}}, [], "valid integer"),
    "a key of 1.x alone": ({}, ["--selector", "loss", "warmup_step=3"], "write dataflex.warmup_steps"),
    "a pipeline of 1.x without intervals": ({"train_type": "dynamic_lego"}, [], "dynamic_lego needs update_step"),
    "a train_type of 1.x that is a list": ({"train_type": ["a"]}, [], "is none of DataFlex 1.x's"),
    "epochs of 1.x without end": (
        {**OLD, "component_name": "loss", "num_train_epochs": "inf"},
        [],
        "no number of epochs",
    ),
    "a component of 1.x that nobody offers": ({**OLD, "component_name": "coincide"}, [], "the selector 'coincide'"),
    "a component of 1.x of another kind": ({**OLD, "component_name": "static"}, [], "'static' here is a mixer"),
    "no components file": ({**OLD, "components_cfg_file": "x.yaml"}, ["component_name=less"], "x.yaml does not exist"),
    "a component without a target set": ({**OLD, "component_name": "less"}, [], "needs a target set"),
    "unknown selector": ({}, ["--selector", "les"], "did you mean 'less'"),
    "unknown mixer": ({}, ["--mixer", "tmperature"], "did you mean 'temperature'"),
    "unknown weighter": ({}, ["--weighter", "los"], "did you mean 'loss'"),
    "wrong kind": ({}, ["--selector", "temperature"], "'temperature' here is a mixer"),
    "wrong kind in the file": ({"dataflex": {"weighter": "less"}}, [], "'less' here is a selector"),
    "unknown parameter": ({}, ["--selector", "loss", "--set", "selector.focs=low"], "did you mean 'focus'"),
    "parameter out of range": ({}, ["--selector", "loss", "--set", "selector.boost=-1"], "greater than 0"),
    "parameter of the wrong type": ({}, ["--selector", "loss", "--set", "selector.boost=lots"], "valid number"),
    "parameter not among the choices": ({}, ["--selector", "loss", "--set", "selector.focus=top"], "'low', 'medium'"),
    "a required parameter is missing": ({}, ["--mixer", "doremi"], "reference_model is required"),
    "a setting for no strategy": ({}, ["--set", "mixer.temperature=2"], "the run has no mixer"),
    "two selectors": ({}, ["--selector", "loss", "--selector", "less"], "given as loss and as less"),
    "two mixers": ({}, ["--mixer", "random", "--mixer", "none"], "given as random and as none"),
    "a weighter and none": ({}, ["--weighter", "loss", "--weighter", "none"], "several weighters, or none"),
    "a setting for one of two weighters": (
        {},
        ["--weighter", "loss", "--weighter", "uniform", "--set", "weighter.delta=2"],
        "say which by its position: weighter.0.delta",
    ),
    "unknown parameter of the second weighter": (
        {"dataflex": {"weighter": ["uniform", {"name": "loss", "delt": 2}]}},
        [],
        "did you mean 'delta'",
    ),
    "a setting that is none": ({}, ["--selector", "loss", "--set", "boost=2"], "not understood"),
    "Ray's arguments are no JSON": ({"use_ray": True, "ray_init_kwargs": "{bad"}, [], "ray_init_kwargs is '{bad'"),
    "no model": ({"model_name_or_path": None}, [], "model_name_or_path is missing"),
    "no such data set": ({"dataset": "wrds"}, ["--selector", "loss"], "did you mean 'words'"),
    "no such target set": ({"eval_dataset": "hld"}, ["--selector", "less"], "did you mean 'held'"),
    "no data folder": (
        {"dataset_dir": "/nowhere"},
        ["--selector", "loss"],
        "/nowhere/dataset_info.json does not exist",
    ),
    "LESS without a target set": ({}, ["--selector", "less"], "needs a target set"),
    "LESS on generated targets": (
        {"eval_dataset": "held", "predict_with_generate": True},
        ["--selector", "less"],
        "predict_with_generate",
    ),
    "a streaming data set": ({"streaming": True}, ["--selector", "loss"], "streaming"),
    "a stage that is not supported": ({"stage": "dpo"}, ["--selector", "loss"], "stage dpo is not supported"),
    "nothing is trained": ({"do_train": False}, ["--selector", "loss"], "do_train"),
    "fused loss, weighter": ({"use_unsloth": True}, ["--weighter", "loss"], "gives neither these nor logits"),
    "chunks under FSDP": (
        {"fsdp": "full_shard", "dataflex": {"chunked_loss": True}},
        ["--weighter", "loss"],
        "fsdp has its weights only inside a forward",
    ),
    "packed rows without borders": ({"stage": "pt"}, ["--weighter", "loss"], "leaves no borders between them"),
    "fused loss, selector": ({"use_unsloth": True}, ["--selector", "loss"], "use_unsloth"),
    "another loss": ({"use_dft_loss": True}, ["--weighter", "loss"], "use_dft_loss"),
    "smoothed labels": ({"label_smoothing_factor": 0.1}, ["--weighter", "loss"], "label_smoothing_factor"),
    "sharded gradients": (
        {"eval_dataset": "held", "deepspeed": {"zero_optimization": {"stage": 3}}, "finetuning_type": "full"},
        ["--selector", "less"],
        "use ZeRO-2, or finetuning_type: lora",
    ),
    "sharded magnitudes": (
        {"eval_dataset": "held", "deepspeed": {"zero_optimization": {"stage": 3}}, "use_dora": True},
        ["--selector", "less"],
        "those of use_dora are out of reach",
    ),
    "gradients of an FSDP model": (
        {"eval_dataset": "held", "fsdp": "full_shard"},
        ["--selector", "less"],
        "fsdp shards what they are made of",
    ),
    "a batch that changes": ({"auto_find_batch_size": True}, ["--mixer", "random"], "auto_find_batch_size"),
    "losses of a sharded model": ({"fsdp": "full_shard"}, ["--selector", "loss"], "set fsdp_config: {version: 2}"),
    "candidates and budget": (
        {"dataflex": {"candidates": 3, "selection_budget": 0.5}},
        ["--selector", "loss"],
        "exclude each other",
    ),
    "no share": ({"dataflex": {"exact": 0}}, ["--selector", "less"], "dataflex.exact"),
    "a choice spread that has no scores": (
        {"dataflex": {"spread": {"repeats": 2}}},
        ["--selector", "random"],
        "which dataflex.spread is about",
    ),
    "too few candidates": ({"dataflex": {"candidates": 0.5}}, ["--selector", "loss"], "greater than or equal to 1"),
    "unknown exhaustion": ({"dataflex": {"exhaustion": "stop"}}, ["--mixer", "random"], "'renormalise'"),
    "resuming from nowhere": ({"resume_from_checkpoint": "somewhere"}, ["--mixer", "random"], "does not exist"),
    "resuming from no checkpoint of ours": (
        {"resume_from_checkpoint": "."},
        ["--mixer", "random"],
        "has no state of DataFlex",
    ),
    "a section in a list": ({"dataflex": ["selector"]}, [], "not a section"),
    "a strategy that is a number": ({"dataflex": {"mixer": 3}}, [], "dataflex.mixer is 3"),
    "a strategy without a name": ({"dataflex": {"mixer": {"alpha": 1}}}, [], "dataflex.mixer has no name"),
    "a reference to nothing": ({"output_dir": "${nowhere}"}, [], "'nowhere' not found"),
    "duplicate keys": ({"text": "seed: 1\nseed: 2\n"}, [], "line 2, column 1"),
    "shares that are negative": ({"dataflex": {"warmup_proportions": {"words": -1}}}, [], "greater than or equal to 0"),
    "a budget of nothing": ({"dataflex": {"selection_budget": 0}}, [], "greater than 0"),
    "an unknown distribution": ({}, ["--selector", "dataflex-strategie/less"], "dataflex-strategie/less"),
    "no such plugin file": ({}, ["--plugin", "nowhere.py"], "nowhere.py does not exist"),
    "a plugin file that is none": ({}, ["--plugin", "README.md"], "README.md is no Python module"),
    "a domain that is none": (
        {},
        ["--mixer", "static", "--set", "mixer.proportions={words: 2, numbrs: 1}"],
        "static: proportions and domains differ in numbers, numbrs",
    ),
    "no proportions": ({}, ["--mixer", "static"], "static takes proportions or from_run: neither is given"),
    "proportions of nothing": (
        {},
        ["--mixer", "static", "--set", "mixer.proportions={words: 0, numbers: 0}"],
        "all proportions are zero",
    ),
    "a column that the run does not carry": (
        {},
        ["--selector", "column", "--set", "selector.column=nope"],
        "set dataflex.columns: [nope]",
    ),
    "half of two parameters": ({}, ["--weighter", "loss", "--set", "weighter.r_start=5"], "r_start and r_steps"),
    "an unknown change": ({"dataflex": {"allow_changed": ["all"]}}, ["--mixer", "random"], "allow_changed"),
}


@pytest.mark.parametrize("case", LIGHT.values(), ids=LIGHT)
def test_one_line_before_anything_heavy(dataflex, config, tmp_path, case):
    changes, words, said = case
    path = config(**changes)
    code, _, err = dataflex("run", path, *words)
    assert code == 2
    _is_one_error(err, said)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name], "nothing is written"


@pytest.mark.parametrize("word", ["dataset_dir=dé", "run_name=数据", "a=b"])
def test_words_are_utf_8_whatever_characters_the_locale_has(word):
    typed = word.encode("utf-8").decode("ascii", "surrogateescape")
    asked = Request.of(("run.yaml", typed), {}, (f"selector.{typed}",))
    assert asked.overrides.words == (word,)
    assert asked.overrides.parameter_words == (f"selector.{word}",)


def test_a_word_that_is_no_utf_8_is_named():
    with pytest.raises(InvalidConfig, match="is no UTF-8") as refused:
        Request.of(("run.yaml", b"run_name=\xff".decode("ascii", "surrogateescape")), {}, ())
    assert refused.value.hint


def test_every_fault_is_a_line_of_its_own(dataflex, config):
    path = config(learning_rat=1e-3, dataset="wrds", dataflex={"selector": "les"})
    code, _, err = dataflex("run", path)
    assert code == 2
    assert [line.removeprefix("Error: ").split(" ")[0] for line in err.splitlines() if line.startswith("Error: ")] == [
        "unknown",
        "dataset",
        "no",
    ]


LONG = "x" * 300
# Commands without a configuration: the words, the exit code, and what stderr must say.
COMMANDS = {
    "no such command": (["rnu"], 2, "No such command 'rnu'"),
    "no such option": (["run", "--selectr", "less"], 2, "--selectr"),
    "a process count of nothing": (["run", "--nproc", "0"], 2, "--nproc"),
    "an unknown change by flag": (["run", "--allow-changed", "all"], 2, "--allow-changed"),
    "describing nothing": (["describe"], 2, "Missing argument 'NAME'"),
    "describing an unknown name": (["describe", "les"], 2, "did you mean 'less'"),
    "describing a name of another kind": (["describe", "less", "--kind", "mixer"], 2, "no mixer is called 'less'"),
    "listing an unknown kind": (["list-strategies", "--kind", "selecter"], 2, "'selecter' is not one of"),
    "listing a file that is not there": (["list-strategies", "--plugin", "none.py"], 2, "none.py does not exist"),
    "a schema of a file that is not there": (["schema", "--plugin", "none.py"], 2, "none.py does not exist"),
    "a doctor for a file that is not there": (["doctor", "--plugin", "none.py"], 2, "none.py does not exist"),
    "plugins of a file that is not there": (["plugins", "list", "--plugin", "none.py"], 2, "none.py does not exist"),
    "no such command of plugins": (["plugins", "remove", "x"], 2, "No such command 'remove'"),
    "installing nothing": (["plugins", "install"], 2, "Missing argument"),
    "installing an empty name": (["plugins", "install", ""], 2, "is no name of a plugin"),
    "uninstalling what is no plugin": (["plugins", "uninstall", "torch"], 2, "no plugin is called 'torch'"),
    "validating nothing": (["validate"], 2, "Missing argument"),
    "two process counts": (["run", "--nproc", "1", "--nproc", "2"], 2, "--nproc is given 2 times"),
    "validating overrides alone": (["validate", "seed=1"], 2, "no configuration is named"),
    "validating two files": (["validate", "a.yaml", "b.yaml"], 2, "'b.yaml' is no override"),
    "completion for an unknown shell": (["completion", "tcsh"], 2, "'tcsh' is not one of"),
    "a demo in a folder that is not empty": (["init", "."], 2, "is not an empty folder"),
    "an override longer than a name": (["run", f"sytem={LONG}", "--dry-run"], 2, "unknown key sytem"),
    "an override longer than a name for a file": (["validate", f"system={LONG}"], 2, "no configuration is named"),
    **{
        f"{words[0]} of a name that is too long": (words, 2, f"{LONG}: File name too long")
        for words in (["inspect", LONG], ["export", LONG, "--chosen", "-o", "x.jsonl"], ["check", LONG])
    },
}


@pytest.mark.parametrize("case", COMMANDS.values(), ids=COMMANDS)
def test_a_command_refuses_in_one_line(dataflex, case):
    words, expected, said = case
    code, _, err = dataflex(*words)
    assert code == expected
    _is_one_error(err, said)


FAILURES = {
    "a file": (PermissionError(13, "Permission denied", "some/file"), "some/file: Permission denied"),
    "a name in bytes": (PermissionError(13, "Permission denied", b"some/file"), "some/file: Permission denied"),
    "no file": (OSError("Cannot reach it.\nMore of it."), "Cannot reach it."),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
@pytest.mark.parametrize("command", ["store", "inspect"])
def test_a_file_that_nobody_foresaw_is_one_line(dataflex, monkeypatch, failure, command):
    raised, said = failure

    def fails(self):
        raise raised

    monkeypatch.setattr("pathlib.Path.is_file", fails)
    monkeypatch.setattr("pathlib.Path.is_dir", fails)
    code, _, err = dataflex(command, "out")
    assert code == 2
    _is_one_error(err, said)


def test_such_a_file_is_told_as_json_where_that_is_asked_for(dataflex, config, monkeypatch):
    def fails(*given, **more):
        raise PermissionError(13, "Permission denied", "some/file")

    path = config()
    monkeypatch.setattr("dataflex_cli.commands.run.load_config", fails)
    code, out, _ = dataflex("run", path, "--log-format", "json")
    assert code == 2
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["some/file: Permission denied"]


# What is wrong with a plugin that was named on the command line.
PLUGINS = {
    "missing import": ("import dfx_absent", "ModuleNotFoundError"),
    "syntax error": ("def (", "SyntaxError"),
    "error at import": ("1 / 0", "ZeroDivisionError"),
    "no hook": ("x = 1", "implements no hook"),
    "misspelt hook": (offering("mine").replace("def dataflex_strategies", "def dataflex_strategy"), "register"),
    "wrong type": (offering("mine") + "    yield 3\n", "yields int, not StrategySpec"),
    "raising generator": (offering("mine") + "    raise KeyError('k')\n", "KeyError: 'k'"),
    "malformed name": (offering("My Strategy"), "'My Strategy' is malformed"),
    "a name twice": (offering("mine", "mine"), "offers selector 'mine' twice"),
    "another contract": (offering("mine", head="DATAFLEX_API = 9"), "version 9 of DataFlex's plugin contract"),
    "a class that is not there": (offering("mine", target="dfx_bad:Mine", params="dfx_bad:Params"), "does not load"),
}


@pytest.mark.parametrize("case", PLUGINS.values(), ids=PLUGINS)
def test_a_bad_plugin_file_is_one_line(dataflex, tmp_path, case):
    source, said = case
    (tmp_path / "dfx_bad.py").write_text(source)
    code, _, err = dataflex("describe", "mine", "--plugin", tmp_path / "dfx_bad.py")
    sys.modules.pop("dfx_bad", None)
    assert code == (1 if said == "does not load" else 2)
    _is_one_error(err, said)


def test_a_missing_file(dataflex, tmp_path):
    code, _, err = dataflex("run", tmp_path / "none.yaml")
    assert code == 2
    _is_one_error(err, "none.yaml does not exist")


HEAVY = {
    "an interval larger than the pool": (
        {"dataflex": {"update_steps": 50, "updates": 1}},
        ["--selector", "random"],
        "the pool has 100",
    ),
    "warm-up swallows the run": ({"dataflex": {"warmup_steps": 20}}, ["--mixer", "random"], "no step is left"),
    "proportions that fit no domain": (
        {},
        ["--mixer", "static", "--set", "mixer.proportions=[1]"],
        "1 proportions for 2 domains",
    ),
    "warm-up proportions that fit no domain": (
        {"dataflex": {"warmup_proportions": {"words": 1}}},
        ["--mixer", "random"],
        "differ in numbers",
    ),
    "a budget that pays for nothing": (
        {"eval_dataset": "held", "dataflex": {"selection_budget": 0.2, "update_steps": 3}},
        ["--selector", "less"],
        "does not pay",
    ),
    "what LLaMA-Factory refuses": (
        {"do_eval": True},
        ["--selector", "loss"],
        "LLaMA-Factory refuses the configuration",
    ),
    "a value LLaMA-Factory refuses": ({"lr_scheduler_type": "cosin"}, ["--selector", "loss"], "LLaMA-Factory refuses"),
}


@pytest.mark.parametrize("case", HEAVY.values(), ids=HEAVY)
@pytest.mark.parametrize("dry", [False, True])
def test_one_line_before_the_first_step(dataflex, config, tmp_path, case, dry):
    changes, words, said = case
    if dry and "proportions=[1]" in str(words):
        pytest.skip("a dry run sets no strategy up: that may load a model")
    path = config(max_steps=20, **changes)
    code, _, err = dataflex("run", path, *words, *(["--dry-run"] if dry else []))
    assert code == 2
    _is_one_error(err, said)
    assert not (tmp_path / "out").exists(), "nothing is written"


@pytest.mark.parametrize("stage", ["sft", "pt"])
def test_packing_that_leaves_no_sample(dataflex, config, tmp_path, stage):
    folder = build_data(tmp_path / "few", sizes={"words": 2, "numbers": 2})
    if stage == "sft":
        (folder / "numbers.json").write_text('[{"instruction": "", "input": "", "output": null}]')
    path = config(stage=stage, packing=True, cutoff_len=4096, dataset_dir=str(folder))
    code, _, err = dataflex("run", path, "--selector", "random")
    assert code == 2
    _is_one_error(err, "has no sample left")
    assert not (tmp_path / "out").exists()


def test_a_failed_run_is_one_line_and_exit_code_one(dataflex, config, tmp_path):
    (tmp_path / "no-model").mkdir()
    (tmp_path / "no-model" / "config.json").write_text('{"model_type": "llama"}')
    path = config(model_name_or_path=str(tmp_path / "no-model"))
    code, _, err = dataflex("run", path, "--selector", "random")
    assert code == 1
    _is_one_error(err, "the run failed")
    code, _, err = dataflex("run", path, "--selector", "random", "--debug")
    assert code == 1
    assert "Traceback" in err


def _is_one_error(err, said):
    """One, but for a package that the test's configuration asks for and this machine may lack."""
    lines = [line for line in err.splitlines() if line.startswith("Error: ")]
    if len(lines) > 1:
        lines = [line for line in lines if "which is not installed" not in line]
    assert len(lines) == 1, err[-2000:]
    assert said in err[err.index("Error: ") :], lines
    assert "Traceback" not in err


def test_a_dry_run_says_what_would_happen_and_writes_nothing(dataflex, config, tmp_path):
    # 100 samples in batches of 4 x 2 x 2 ranks: 7 steps an epoch.
    path = config(max_steps=None, num_train_epochs=3, eval_dataset="held", gradient_accumulation_steps=2)
    flags = ["--selector", "less", "--mixer", "temperature", "--nproc", "2", "--dry-run"]
    code, out, _ = dataflex("run", path, "dataflex.warmup_steps=5", "dataflex.update_steps=4", *flags)
    assert not code
    assert "21 steps of 16 samples: 5 of warm-up, then 4 decisions for 4 steps each (64 samples)" in out
    assert "pool of 100 samples: words 60, numbers 40" in out
    assert "a decision judges 100 samples, at the cost of about 7.2 training steps: 29 in all, 1.38x" in out
    assert not (tmp_path / "out").exists()


@pytest.mark.numeric
def test_a_plan_compares_what_a_few_settings_cost_and_writes_nothing(dataflex, config, tmp_path):
    section = {"warmup_steps": 2, "update_steps": 10, "candidates": 2}
    path = config(max_steps=22, eval_dataset="held", dataflex=section)
    code, out, _ = dataflex("plan", path, "--selector", "less", "--json")
    assert not code
    told = json.loads(out)
    assert (told["steps"], told["decisions"], told["pool"], told["estimated"]) == (22, 2, 100, True)
    rows = {row.pop("setting"): row for row in told["settings"]}
    assert list(rows) == [
        "as configured",
        *(f"candidates {n}" for n in ("2", "4", "all")),
        *(f"exact {n}" for n in ("0.1", "0.25", "0.5")),
        "random",
    ]
    assert rows["as configured"] == rows["candidates 2"]
    # 40 are chosen of 80, and of 32 scores at least; the target set of 6 is added, and a tenth that says why.
    costs = {"decision_cost": 23.5, "total_cost": 47.0, "share": 2.1364, "break_even": 3.35}
    assert rows["as configured"] == {"judged": 80, "scored": 80, **costs, "refused": None}
    few = rows["exact 0.1"]
    assert (few["judged"], few["scored"]) == (100, 32)
    assert few["break_even"] == pytest.approx(2.025, abs=0.006)
    assert (rows["random"]["total_cost"], rows["random"]["break_even"]) == (0, 1)
    code, out, _ = dataflex("plan", path, "--selector", "loss")
    assert not code
    assert "exact" not in out, "the scores of loss cannot be predicted"
    assert "For the same work random trains 35 steps." in out
    assert not (tmp_path / "out").exists()


def test_a_dry_run_without_a_strategy(dataflex, config, tmp_path):
    code, out, _ = dataflex("run", config(max_steps=5), "--dry-run")
    assert not code
    assert "no strategy: the run is LLaMA-Factory's own" in out
    assert "5 steps of 4 samples" in out
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_goes_unheard(dataflex, config):
    section = {"warmup_steps": 1, "update_steps": 4, "candidates": 1}
    path = config(dataflex=section, mix_strategy="interleave_over", eval_dataset="numbers", num_train_epochs=2)
    words = ["--selector", "loss", "seed=1", "seed=2", "dataloader_drop_last=true", "--dry-run"]
    code, out, _ = dataflex("run", path, *words)
    assert not code
    for said in (
        "seed is given as 1 and as 2: the last one counts",
        "mix_strategy has no effect beside a selector",
        "dataloader_drop_last has no effect beside a selector",
        "num_train_epochs has no effect beside max_steps: the run has 8 steps",
        "eval_dataset numbers is also trained on",
        "a decision chooses 16 of the 16 samples that it judges: it decides nothing, at that cost",
    ):
        assert said in out


def test_none_switches_a_strategy_off(dataflex, config):
    path = config(max_steps=5, dataflex={"warmup_steps": 1, "selector": "loss", "mixer": {"name": "random"}})
    code, out, _ = dataflex("run", path, "--selector", "none", "--dry-run")
    assert not code
    assert "selector" not in out
    assert "mixer     random" in out
    assert out.rstrip().endswith("Nothing was trained or written.")
