"""`dataflex validate` on a folder of faulty data sets tells all of them, each with its line, file and row."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from data_cases import CHAT, CHAT_TOOLED, OPENAI, TOOL, chat, lines, openai, qa
from support import base_args

from dataflex_cli.main import cli

BAD_CALL = chat(("human", "add"), ("function_call", "<think>\none\n</think>\n\nadd(1)"))
NO_PROPERTIES = json.dumps([{**TOOL, "parameters": {}}])
# Of each data set its file, its entry beyond that, and what is told of it: the place, and some words.
SEEN = {
    "absent": (None, {"file_name": "gone.json"}, [r"/gone\.json does not exist"]),
    "mapped": (
        {"mapped.json": json.dumps(qa())},
        {"columns": {"prompt": "question", "response": "output"}},
        [r"mapped\.json: column 'question', which prompt is read from, is not there: the columns are instruction"],
    ),
    "cut": (
        {"cut.json": json.dumps(qa(), indent=1)[:-25]},
        {},
        [r"cut\.json, line 15: the file ends in the middle of row 3"],
    ),
    "lines": (
        {"lines.jsonl": lines(qa()[0], '{"instruction": "a" "b"}', qa()[0])},
        {},
        [r"lines\.jsonl, line 2: the line is no JSON at column 21"],
    ),
    "typed": (
        {"typed.jsonl": lines(*qa(2), *qa(1, output=7))},
        {},
        [r"typed\.jsonl, row 3 \(line 3\): column 'output' is a number here, and text in row 1"],
    ),
    "latin": (
        {"latin.jsonl": lines(qa()[0]).encode() + '{"instruction": "caf\xe9"}\n'.encode("latin-1")},
        {},
        [r"latin\.jsonl, line 2: the byte 0xe9 is not UTF-8"],
    ),
    "roles": (
        {"roles.json": json.dumps([openai(), openai(("user", "a"), ("bot", "b"))], indent=1)},
        OPENAI,
        [r"roles\.json, row 2 \(line 14\): message 2 of column 'messages' has the role 'bot'"],
    ),
    "turns": (
        {"turns.jsonl": lines(chat(("gpt", "a"), ("human", "b")), chat(("human", "a")))},
        CHAT,
        [r"turns\.jsonl, row 1 \(line 1\): it has no sample left: all 2 rows are left out.*out of turn"],
    ),
    "tools": (
        {"tools.jsonl": lines(chat(tools=json.dumps([TOOL])), chat(tools=NO_PROPERTIES))},
        CHAT_TOOLED,
        [r"""tools\.jsonl, row 2 \(line 2\): column 'tools': tool 1 has "parameters" without "properties\""""],
    ),
    "nulls": (
        {"nulls/a.jsonl": lines(chat()), "nulls/b.jsonl": lines(chat(), chat(("human", "a"), ("gpt", None)))},
        {**CHAT, "file_name": "nulls"},
        [r"nulls/b\.jsonl, row 2 \(line 2\): message 2 of column 'conversations' is null"],
    ),
}
REPLAYED = {
    "thoughts": (
        {"thoughts.jsonl": lines(chat(), BAD_CALL, chat(), BAD_CALL)},
        CHAT,
        [r"thoughts\.jsonl, row 2 \(line 2\): .*Invalid JSON format in function message.*; and 1 more row like it"],
    ),
    "packed": (
        {
            "packed.jsonl": gzip.compress(
                lines(
                    chat(tools=""),
                    chat(("human", "a"), ("gpt", None), tools=""),
                    chat(tools=NO_PROPERTIES),
                    chat(("human", "a"), ("gpt", None), tools=""),
                ).encode()
            )
        },
        CHAT_TOOLED,
        [
            r"packed\.jsonl, row 2: LLaMA-Factory cannot use the row: .*got None; and 1 more row like it",
            r"packed\.jsonl, row 3: LLaMA-Factory cannot use the row: KeyError: 'properties'",
        ],
    ),
    "held": (
        {"held.jsonl": lines(chat(), chat(), chat(), BAD_CALL)},
        CHAT,
        [r"held\.jsonl, row 4 \(line 4\): .*Invalid JSON format in function message"],
    ),
}
SOUND = {"sound": ({"sound.json": json.dumps(qa())}, {}, [])}


@pytest.fixture
def folder(model, tmp_path):
    """Write a folder of data sets and a configuration that names them, one a line; the configuration's path."""

    def write(sets):
        index = {}
        for name, (files, entry, _) in sets.items():
            for file, content in (files or {}).items():
                path = tmp_path / file
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(content if isinstance(content, bytes) else content.encode())
            index[name] = {"file_name": next(iter(files or ()), ""), **entry}
        (tmp_path / "dataset_info.json").write_text(json.dumps(index))
        args = base_args(model, tmp_path, tmp_path / "out", template="default", overwrite_cache=True)
        args["dataset"] = [name for name in sets if name != "held"]
        args |= {"eval_dataset": ["held"]} if "held" in sets else {}
        args["dataflex"] = {"selector": "random", "warmup_steps": 2, "update_steps": 3}
        (tmp_path / "run.json").write_text(json.dumps(args, indent=1))
        return tmp_path / "run.json"

    return write


def _check(told, config, sets):
    """Each fault of ``sets`` is told once, where its data set is named, with what to do."""
    said = config.read_text().splitlines()
    expected = [(name, text) for name, (_, _, texts) in sets.items() for text in texts]
    assert len(told) == len(expected), "\n".join(told)
    for name, text in expected:
        (line,) = [each for each in told if f"dataset '{name}'" in each and re.search(text, each)]
        number = int(line.removeprefix(f"{config}:").partition(":")[0])
        assert said[number - 1].strip().strip(",") == f'"{name}"'
        assert line.endswith(")"), "what to do"


@pytest.mark.parametrize(
    "sets",
    [{**SEEN, **REPLAYED, **SOUND}, {**SOUND, **REPLAYED}],
    ids=["files and rows", "rows alone"],
)
def test_every_fault_of_a_folder_is_told(folder, sets):
    config = folder(sets)
    done = CliRunner().invoke(cli, ["validate", str(config)])
    assert done.exit_code == 2
    _check(done.stdout.splitlines(), config, sets)
    assert not (config.parent / "out").exists(), "nothing is written"


def test_what_a_look_tells_needs_nothing_heavy(folder):
    config = folder(SEEN)
    code = f"import sys\nfrom dataflex_cli.main import cli\ntry: cli(['validate', {str(config)!r}])\n"
    code += "except SystemExit as stop: assert stop.code == 2\n"
    code += "assert not {'torch', 'transformers', 'llamafactory', 'datasets'} & sys.modules.keys()"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    _check(done.stdout.splitlines(), config, SEEN)
