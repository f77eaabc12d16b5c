"""The look into data sets agrees with LLaMA-Factory: what it calls sound loads, and what it calls a fault does not."""

from __future__ import annotations

import contextlib
import gzip
import io
import json

import pytest
from data_cases import CHAT, FAULTY, SOUND, Case, chat, lines, qa, write_case
from support import base_args

from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.errors import DataError
from dataflex_core.llamafactory import run
from dataflex_core.llamafactory.called import llamafactory_errors
from dataflex_core.llamafactory.datasets.index import index_faults, stage_faults
from dataflex_core.llamafactory.datasets.look import look
from dataflex_core.llamafactory.reasons import remedy
from dataflex_core.prepare import prepare


@pytest.fixture(scope="module")
def load(model, tmp_path_factory):
    """LLaMA-Factory's own loading of a configuration's data; how many samples it has."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    def of(args):
        more = {"model_name_or_path": str(model), "do_train": True, "use_cpu": True, "report_to": "none"}
        more |= {"output_dir": str(tmp_path_factory.mktemp("out")), "cutoff_len": 16, "overwrite_cache": True}
        more |= {"reward_model": "x"} if args["stage"] == "ppo" else {}
        model_args, data_args, training_args, _, _ = get_train_args({**more, **args})
        tokenizer = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)
        stage = {"dpo": "rm"}.get(args["stage"], args["stage"])
        with contextlib.redirect_stdout(io.StringIO()):
            module = get_dataset(template, model_args, data_args, training_args, stage=stage, **tokenizer)
        return len(module["train_dataset"])

    return of


@pytest.mark.parametrize("name", [*SOUND, *FAULTY])
def test_the_look_agrees_with_the_loading(name, load, tmp_path):
    case = {**SOUND, **FAULTY}[name]
    args = write_case(case, tmp_path)
    found = [*index_faults(args), *stage_faults(args), *look(args).faults]
    try:
        rows, error = load(args), None
    except Exception as raised:
        rows, error = 0, raised
    assert bool(found) == (error is not None), (list(map(str, found)), rows, repr(error))


THOUGHT = "<think>\none\n</think>\n\nadd(1)"
BAD_CALL = chat(("human", "add"), ("function_call", THOUGHT))
UNSEEN = {
    "a call after a thought": (
        Case(files={"mine.json": [chat(), chat(), BAD_CALL]}, entry=CHAT),
        r"mine.json, row 3 \(line 26\): .*RuntimeError: Invalid JSON format in function message",
    ),
    "in the second file": (
        Case(
            files={"all/a.jsonl": lines(chat(), BAD_CALL), "all/b.jsonl": lines(chat(), chat(), BAD_CALL)},
            entry={**CHAT, "file_name": "all"},
        ),
        r"all/(a.jsonl, row 2 \(line 2\)|b.jsonl, row 3 \(line 3\))",
    ),
    "in an archive": (
        Case(
            files={"mine.jsonl": gzip.compress(lines(chat(), chat(("human", "a"), ("gpt", None))).encode())}, entry=CHAT
        ),
        r"mine.jsonl, row 2: LLaMA-Factory cannot use the row: RuntimeError: Expected a string, got None",
    ),
    "in a part": (
        Case(
            files={"mine.jsonl": lines(*[chat()] * 60, BAD_CALL, *[chat()] * 9)}, entry={**CHAT, "split": "train[50:]"}
        ),
        r"mine.jsonl, row 61 \(line 61\): .*RuntimeError: Invalid JSON format in function message",
    ),
    "in a part of two files": (
        Case(
            files={f"all/{name}.jsonl": lines(*[chat()] * 4, BAD_CALL) for name in "ab"},
            entry={**CHAT, "file_name": "all", "split": "train[7:]+train[:1]"},
        ),
        r"all/[ab].jsonl, row 5 \(line 5\): ",  # which file comes first is the file system's choice
    ),
    "beyond those that are drawn": (
        Case(
            files={"mine.jsonl": lines(*[chat()] * 9, *[BAD_CALL] * 60)},
            entry={**CHAT, "num_samples": 69},
            args={"max_samples": 9},
        ),
        r"mine.jsonl, row 10 \(line 10\): ",
    ),
    "a template of another kind of model": (
        Case(files={"mine.json": qa()}, args={"template": "qwen2_vl"}),
        r"mine.json: LLaMA-Factory cannot use any of the 3 rows .* Processor was not found.*\(set template to",
    ),
    "a folder of data that is not there": (
        Case(files={"mine.json": qa()}, entry={"script_url": "nowhere"}),
        r"it cannot be loaded: .*\(mend script_url, which names a folder of data files, in dataset_info.json\)",
    ),
    "a broken archive": (
        Case(files={"mine.jsonl": gzip.compress(lines(chat(), "{oops").encode())}, entry=CHAT),
        "mine.jsonl: it cannot be loaded: ArrowInvalid: JSON parse error",
    ),
}


@pytest.mark.parametrize("how", ["dry run", "selector", "plain"])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_the_look_does_not_see_is_told_by_row(name, how, model, tmp_path):
    case, said = UNSEEN[name]
    data = write_case(case, tmp_path / "data")
    args = base_args(model, tmp_path, tmp_path / "out", **data, overwrite_cache=True)
    if how != "plain":
        args["dataflex"] = {"selector": "random", "warmup_steps": 2, "update_steps": 3}
    path = tmp_path / "run.json"
    path.write_text(json.dumps(args))
    prepared = prepare(load_config(path), discover())
    begin = {"dry run": lambda: run.dry_run(prepared, ranks=1)}.get(
        how, lambda: run.train(prepared, lambda *_, **__: None)
    )
    with pytest.raises(DataError, match=said) as caught:
        begin()
    assert caught.value.hint
    assert str(caught.value).startswith("dataset 'mine': ")


@pytest.mark.parametrize("size", [8, 1000, 0.9999, 1.0])
def test_val_size_that_leaves_nothing_to_train_on_is_told_with_its_key(size):
    from datasets import Dataset

    rows = Dataset.from_dict({"a": range(8)})
    with pytest.raises(DataError, match=rf"val_size is {size}, and there are 8 rows") as caught, llamafactory_errors():
        rows.train_test_split(test_size=size)
    assert list(caught.value.key) == ["val_size"]


@pytest.mark.parametrize(
    ("why", "hint"),
    [
        ("Dropped invalid example: it has no answer", "response in columns"),
        ("Dropped lengthy example with length 30 > 16", "raise cutoff_len"),
        ("it is among the last tokens of a group of rows, which do not fill a block of 16", "lower cutoff_len"),
        ("Invalid message count", "mend the turns"),
        ("", "lower cutoff_len"),
    ],
)
def test_what_to_do_where_no_row_is_left_goes_by_the_reason(why, hint):
    assert hint in remedy(why)
