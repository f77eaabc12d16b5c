"""Data sets, sound and broken: what a look into their files says of each, and what LLaMA-Factory does with it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TAGS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
OPENAI_TAGS = {**TAGS, "observation_tag": "tool", "function_tag": "function", "system_tag": "system"}
TOOL = {
    "name": "add",
    "description": "adds",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "number", "enum": ["one", "two"]}, "b": {"type": "array", "items": {}}},
        "required": ["a"],
    },
}
CALL = json.dumps({"name": "add", "arguments": {"a": 1}})


@dataclass(frozen=True, kw_only=True)
class Case:
    """A data set ``mine`` of ``files``, its ``entry``, further arguments; ``faults`` and ``left_out`` in words.

    Each is text that its message holds. Where there are no faults LLaMA-Factory loads it, and else it does not.
    """

    files: Mapping[str, Any]
    entry: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def qa(n: int = 3, **changes: Any) -> list[dict[str, Any]]:
    """Rows of LLaMA-Factory's own columns."""
    return [{"instruction": f"count {i}", "input": "", "output": "one two", **changes} for i in range(n)]


def talk(*turns: tuple[str, Any], role: str = "from", content: str = "value") -> list[dict[str, Any]]:
    """Messages."""
    return [{role: who, content: said} for who, said in turns]


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A row of messages, a question and an answer where nothing is said."""
    return {"conversations": talk(*turns or (("human", "say one"), ("gpt", "one"))), **more}


def openai(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    """A row as OpenAI has them."""
    said = turns or (("user", "say one"), ("assistant", "one"))
    return {"messages": talk(*said, role="role", content="content"), **more}


BAD_CHAT = chat(("human", "a"), ("gpt", None))
"""A row that ends a run."""


def lines(*rows: Any) -> str:
    """As JSON lines; text is a line as it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def write_case(case: Case, folder: Path) -> dict[str, Any]:
    """Write its files and index; the arguments of a run with it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_as_bytes(content, path.suffix))
    first = next(iter(case.files), "mine.json")
    entry = {"file_name": first.split("/")[0], **case.entry}
    (folder / "dataset_info.json").write_text(json.dumps({"mine": entry}), encoding="utf-8")
    return {"dataset": "mine", "dataset_dir": str(folder), "stage": "sft", "template": "default", **case.args}


def _as_bytes(content: Any, suffix: str) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if suffix in _TABLES:
        return _TABLES[suffix](content)
    return json.dumps(content, indent=1).encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def _arrow(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa

    sink, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _csv(rows: list[dict[str, Any]]) -> bytes:
    sink = io.StringIO()
    writer = csv.DictWriter(sink, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return sink.getvalue().encode()


def _jsonl(rows: list[Any]) -> bytes:
    return lines(*rows).encode()


def _txt(rows: list[dict[str, Any]]) -> bytes:
    return "\n".join(str(next(iter(row.values()))) for row in rows).encode()


_TABLES: Mapping[str, Callable[[Any], bytes]] = {
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".csv": _csv,
    ".jsonl": _jsonl,
    ".txt": _txt,
}
TABLES = tuple(suffix for suffix in (".json", *_TABLES) if suffix != ".txt")
NESTED = (".json", ".jsonl", ".parquet", ".arrow")
CHAT: Mapping[str, Any] = {"formatting": "sharegpt"}
OPENAI: Mapping[str, Any] = {"formatting": "openai", "columns": {"messages": "messages"}, "tags": OPENAI_TAGS}
OPENAI_LIKE: Mapping[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {**TAGS, "system_tag": "system"},
}
DPO: Mapping[str, Any] = {
    "ranking": True,
    "columns": {"prompt": "instruction", "query": "input", "chosen": "chosen", "rejected": "rejected"},
}
DPO_CHAT: Mapping[str, Any] = {
    "formatting": "sharegpt",
    "ranking": True,
    "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
}
KTO: Mapping[str, Any] = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "kto_tag": "label"},
    "tags": TAGS,
}
TEXT: Mapping[str, Any] = {"columns": {"prompt": "text"}}
TOOLED: Mapping[str, Any] = {"columns": {"prompt": "instruction", "response": "output", "tools": "tools"}}
IMAGED: Mapping[str, Any] = {"columns": {"prompt": "instruction", "response": "output", "images": "image"}}
CHAT_TOOLED: Mapping[str, Any] = {"formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}}


def with_tools(tools: Any, **more: Any) -> Case:
    """Three rows with tools, as text unless they are text."""
    text = tools if isinstance(tools, str) else json.dumps(tools)
    return Case(files={"mine.json": qa(tools=text)}, entry=TOOLED, **more)


SOUND: Mapping[str, Case] = {
    **{f"alpaca {kind}": Case(files={f"mine{kind}": qa()}) for kind in TABLES},
    **{f"sharegpt {kind}": Case(files={f"mine{kind}": [chat(), chat()]}, entry=CHAT) for kind in NESTED},
    **{
        f"text {kind}": Case(files={f"mine{kind}": [{"text": "one two"}] * 9}, entry=TEXT, args={"stage": "pt"})
        for kind in (*TABLES, ".txt")
    },
    "history, system": Case(
        files={
            "mine.json": qa(history=[["say one", "one"], ["say two", "two"]], sys="be red") + qa(history=[], sys="")
        },
        entry={
            "columns": {
                "prompt": "instruction",
                "query": "input",
                "response": "output",
                "system": "sys",
                "history": "history",
            }
        },
    ),
    "history is null": Case(
        files={"mine.jsonl": lines(*qa(1, history=None), *qa(1, history=[["a", "b"]]))},
        entry={"columns": {"prompt": "instruction", "response": "output", "history": "history"}},
    ),
    "tools": with_tools([TOOL]),
    "no tools": with_tools([]),
    "empty tools": with_tools(""),
    "wrapped tools": with_tools([{"type": "function", "function": TOOL}]),
    "tools of another template": with_tools([{"name": "add", "parameters": {}}], args={"template": "qwen"}),
    "tool_format": with_tools(
        [{"name": "add", "parameters": {}}], args={"template": "alpaca", "tool_format": "llama3"}
    ),
    "calls": Case(
        files={
            "mine.json": [
                chat(
                    ("human", "add"),
                    ("function_call", CALL),
                    ("observation", "1"),
                    ("gpt", "one"),
                    tools=json.dumps([TOOL]),
                )
            ]
        },
        entry=CHAT_TOOLED,
    ),
    "several calls": Case(
        files={
            "mine.json": [
                chat(("human", "add"), ("function_call", f"[{CALL}, {CALL}]"), ("observation", "1"), ("gpt", "one"))
            ]
        },
        entry=CHAT,
    ),
    "calls after a thought": Case(
        files={"mine.json": [chat(("human", "add"), ("function_call", f"<think>\none\n</think>\n\n{CALL}"))]},
        entry=CHAT,
    ),
    "a system message": Case(
        files={"mine.json": [chat(("system", "be red"), ("human", "a"), ("gpt", "b"))]}, entry=CHAT
    ),
    "a system column": Case(
        files={"mine.json": [chat(sys="be red")]},
        entry={"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "sys"}},
    ),
    "a system column that nobody reads": Case(
        files={"mine.json": [chat(("system", "be red"), ("human", "a"), ("gpt", "b"))]},
        entry={"formatting": "sharegpt", "columns": {"messages": "conversations", "system": "sys"}},
    ),
    "openai tags": Case(
        files={"mine.jsonl": [openai(), openai(("system", "be red"), ("user", "a"), ("assistant", "b"))]},
        entry=OPENAI_LIKE,
    ),
    "openai": Case(files={"mine.json": [openai()]}, entry=OPENAI),
    "openai calls": Case(
        files={
            "mine.json": [
                {
                    "messages": [
                        {"role": "user", "content": "add"},
                        {
                            "role": "assistant",
                            "content": None,
                            "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": "{}"}}],
                        },
                        {"role": "tool", "content": "1"},
                        {"role": "tool", "content": "2"},
                        {"role": "assistant", "content": "one"},
                    ],
                    "tools": [
                        {"type": "function", "function": {"name": "add", "parameters": {"properties": {"a": {}}}}}
                    ],
                }
            ]
        },
        entry={**OPENAI, "columns": {"messages": "messages", "tools": "tools"}},
    ),
    "openai without tools and system": Case(
        files={"mine.json": [openai()]},
        entry={**OPENAI, "columns": {"messages": "messages", "tools": "tools", "system": "sys"}},
    ),
    "preferences": Case(files={"mine.json": qa(chosen="one", rejected="two")}, entry=DPO, args={"stage": "dpo"}),
    "preferences rm": Case(files={"mine.jsonl": qa(chosen="one", rejected="two")}, entry=DPO, args={"stage": "rm"}),
    "preferences of chats": Case(
        files={
            "mine.json": [
                {
                    "conversations": talk(("human", "say one")),
                    "chosen": talk(("gpt", "one"))[0],
                    "rejected": talk(("gpt", "two"))[0],
                }
            ]
            * 2
        },
        entry=DPO_CHAT,
        args={"stage": "dpo"},
    ),
    "feedback": Case(files={"mine.json": [openai(label=True), openai(label=False)]}, entry=KTO, args={"stage": "kto"}),
    "feedback in alpaca": Case(
        files={"mine.json": qa(label=True) + qa(label=False)},
        entry={"columns": {"prompt": "instruction", "response": "output", "kto_tag": "label"}},
        args={"stage": "kto"},
    ),
    "prompts": Case(files={"mine.json": qa()}, args={"stage": "ppo"}),
    "a folder": Case(
        files={"all/a.json": qa(), "all/b.json": qa(), "all/c.jsonl": lines(*qa())}, entry={"file_name": "all"}
    ),
    "columns in another order": Case(
        files={"all/a.jsonl": lines(*qa()), "all/b.jsonl": lines(*[dict(reversed(row.items())) for row in qa()])},
        entry={"file_name": "all"},
    ),
    "an empty file among others": Case(
        files={"all/a.jsonl": lines(*qa()), "all/b.jsonl": ""}, entry={"file_name": "all"}
    ),
    "more columns": Case(files={"mine.json": qa(id=3, score=0.5, source={"a": [1]})}),
    "columns in some rows": Case(files={"mine.json": [*qa(), *[{**row, "id": 3} for row in qa()]]}),
    "an answer that is null at first": Case(files={"mine.json": [{**qa()[0], "input": None}, *qa()]}),
    "blank lines": Case(files={"mine.jsonl": "\n" + lines(*qa()).replace("\n", "\n\n")}),
    "objects of several lines": Case(files={"mine.json": "".join(json.dumps(row, indent=2) + "\n" for row in qa())}),
    "several objects in a line": Case(files={"mine.jsonl": "".join(json.dumps(row) for row in qa())}),
    "one object": Case(files={"mine.json": json.dumps(qa()[0])}),
    "a list of texts": Case(files={"mine.json": ["one two"] * 9}, entry=TEXT, args={"stage": "pt"}),
    "whole and other numbers": Case(files={"mine.jsonl": lines({**qa()[0], "x": 1}, {**qa()[0], "x": 1.5})}),
    "a byte order mark": Case(files={"mine.jsonl": "\ufeff" + lines(*qa())}),
    "no line end": Case(files={"mine.jsonl": lines(*qa()).rstrip()}),
    "line ends of Windows": Case(files={"mine.jsonl": lines(*qa()).replace("\n", "\r\n")}),
    "NaN": Case(files={"mine.jsonl": lines(*(json.dumps({**row, "x": float("nan")}) for row in qa()))}),
    "max_samples before the fault": Case(
        files={"mine.json": [chat(), chat(("human", "a"), ("gpt", None))]}, entry=CHAT, args={"max_samples": 1}
    ),
    "num_samples beyond": Case(files={"mine.json": qa()}, entry={"num_samples": 9}),
    "split before the fault": Case(
        files={"mine.json": [*[chat()] * 3, BAD_CHAT]}, entry={**CHAT, "split": "train[:3]"}
    ),
    "a split of two parts": Case(
        files={"mine.json": [chat(), BAD_CHAT, chat(), BAD_CHAT]},
        entry={**CHAT, "split": "train[2:3]+train[:25%]"},
        args={"max_samples": 2},
    ),
    "a part twice": Case(files={"mine.json": qa()}, entry={"split": "train+train[:50%]"}),
    "a split of all": Case(files={"mine.json": qa()}, entry={"split": "all"}),
    "a bracket in a name": Case(files={"mine[a.json": qa()}),
    "an image that is null": Case(files={"mine.jsonl": lines(*qa(image=None))}, entry=IMAGED),
    "dates": Case(files={"mine.json": qa(date="2024-01-05", made_at=3), "more.jsonl": ""}),
    "names that stay numbers": Case(
        files={"mine.json": [{"2023": "say one", "2024": "one"}] * 3},
        entry={"columns": {"prompt": "2023", "response": "2024"}},
    ),
    "an empty question": Case(files={"mine.json": qa(instruction=None)}),
    "split": Case(files={"mine.json": qa()}, entry={"split": "train[:2]"}),
    "ranking: false": Case(files={"mine.json": qa()}, entry={"ranking": False}),
    "zipped": Case(files={"mine.json": gzip.compress(json.dumps(qa()).encode())}),
    "images without files and template": Case(
        files={"mine.json": qa(images=[])},
        entry={"columns": {"prompt": "instruction", "response": "output", "images": "images"}},
    ),
}

_UTF16 = lines(*qa()).encode("utf-16")
_LATIN = '{"instruction": "caf\xe9", "input": "", "output": "one"}\n'.encode("latin-1")
_CUT = json.dumps(qa())[:-30]


FAULTY: Mapping[str, Case] = {
    **{
        f"split: {split}": Case(files={"mine.json": qa()}, entry={"split": split}, faults=(f"split is {split!r}: ",))
        for split in ("trainx", "train+test", "train[x]", "train[:150%]", "train[2:2]", "train ")
    },
    "a part of all": Case(files={"mine.json": qa()}, entry={"split": "all[:2]"}, faults=("split is 'all[:2]'",)),
    **{
        f"no name of {key}": Case(files={"mine.json": qa()}, entry={key: name}, faults=(f"{key} is {name!r} (write",))
        for key, name in (("hf_hub_url", None), ("hf_hub_url", ""), ("script_url", 3), ("cloud_file_name", None))
    },
    "a name that is a pattern": Case(files={"my[1].json": qa()}, faults=("my[1].json has [ in its name",)),
    "a folder that is a pattern": Case(files={"all[x]/a.json": qa()}, faults=("a.json has [ in its name",)),
    "a name that is a chain": Case(files={"a::b.json": qa()}, faults=("a::b.json has :: in its name",)),
    "a tag that is a list": Case(
        files={"mine.json": [chat()]},
        entry={**CHAT, "tags": {"role_tag": "from", "content_tag": "value", "user_tag": ["human"]}},
        faults=("tags has ['human'] as user_tag",),
    ),
    "an image without a name": Case(
        files={"mine.jsonl": lines(*qa(1, image=None), *qa(1, image=""))},
        entry=IMAGED,
        faults=("row 2 (line 2): it has images, which the template does not take",),
    ),
    "half of a character": Case(
        files={"mine.jsonl": lines(*qa(), json.dumps(qa(output="x \ud83d")[0]))},
        faults=("mine.jsonl, line 4: half of a character",),
    ),
    "a key twice": Case(
        files={"mine.jsonl": "\n" + lines(*qa(1), '{"instruction": "a", "input": "", "x": {"b": 1, "b": 2}}')},
        faults=("mine.jsonl, line 3: the line has the key 'x.b' twice (take one of them out)",),
    ),
    "a number beyond all": Case(
        files={"mine.jsonl": lines(*qa(2, x=1), '{"instruction": "a", "input": "", "output": "b", "x": 1e999}')},
        faults=("mine.jsonl, line 3: a number of the line is too large",),
    ),
    "a whole number beyond 64 bits": Case(
        files={"mine.json": [*qa(1, id=3), *qa(1, id=2**70)]},
        faults=("row 2 (line 8): column 'id' holds a whole number that does not fit into 64 bits",),
    ),
    "half of a character in a list": Case(
        files={"mine.json": [*qa(), *qa(1, more=["x \udc00"])]},
        faults=("row 4 (line 17): column 'more' holds half of a character",),
    ),
    "a byte order mark before a list": Case(
        files={"mine.json": "\ufeff" + json.dumps(qa())},
        faults=("line 1: the file begins with a byte order mark, with which a list is not read (save it without one)",),
    ),
    "dates for answers": Case(
        files={"mine.json": qa(modified="2024-01-05")},
        entry={"columns": {"prompt": "instruction", "response": "modified"}},
        faults=("because column 'modified' is read as a date, which it looks like, not text",),
    ),
    "dates for questions": Case(
        files={"mine.json": qa(made_at="2024-01-05")},
        entry={"columns": {"prompt": "made_at", "response": "output"}},
        faults=("column 'made_at' is read as a date",),
    ),
    "names that become numbers": Case(
        files={"mine.json": [{"0007": "q", "0008": "a"}] * 3},
        entry={"columns": {"prompt": "0007", "response": "0008"}},
        faults=("columns '0007', '0008', which prompt, response are read from, are not there: the columns are 7, 8",),
    ),
    # the entry
    "no such format": Case(
        files={"mine.json": qa()},
        entry={"formatting": "sharegtp"},
        faults=("formatting is 'sharegtp' (did you mean 'sharegpt'?)",),
    ),
    "file_name is empty": Case(files={"mine.json": qa()}, entry={"file_name": " "}, faults=("file_name is ' '",)),
    "columns is a list": Case(files={"mine.json": qa()}, entry={"columns": ["a"]}, faults=("columns is ['a']",)),
    "tags without role_tag": Case(
        files={"mine.json": [openai()]},
        entry={**OPENAI_LIKE, "tags": {"user_tag": "user", "content_tag": "content"}},
        faults=("tags leaves out role_tag",),
    ),
    "columns without messages": Case(
        files={"mine.json": [chat()]},
        entry={**CHAT, "columns": {"system": "sys"}},
        faults=("columns leaves out messages",),
    ),
    "ranking without chosen": Case(
        files={"mine.json": qa(chosen="a", rejected="b")},
        entry={"ranking": True},
        args={"stage": "dpo"},
        faults=("columns leaves out chosen", "columns leaves out rejected"),
    ),
    "ranking among answers": Case(
        files={"mine.json": qa(chosen="a", rejected="b")},
        entry=DPO,
        faults=("it is ranking data, which stage sft does not train on",),
    ),
    "answers among ranking": Case(
        files={"mine.json": qa()}, args={"stage": "dpo"}, faults=("it is no ranking data, which stage dpo trains on",)
    ),
    "num_samples is text": Case(files={"mine.json": qa()}, entry={"num_samples": "3"}, faults=("num_samples is '3'",)),
    "a fault in a split": Case(
        files={"mine.json": [*[chat()] * 3, BAD_CHAT]},
        entry={**CHAT, "split": "train[-2:]"},
        faults=("row 4 (line 38): message 2",),
    ),
    "a fault among all that are drawn": Case(
        files={"mine.json": [chat(), BAD_CHAT]}, entry={**CHAT, "num_samples": 3}, faults=("row 2",)
    ),
    "a split in which no row is left": Case(
        files={"mine.json": [*qa(2), *qa(2, output=None)]},
        entry={"split": "train[2:]"},
        faults=("all 2 rows are left out",),
    ),
    "no such split": Case(files={"mine.json": qa()}, entry={"split": "test"}, faults=("split is 'test'",)),
    "split is null": Case(files={"mine.json": qa()}, entry={"split": None}, faults=("split is None",)),
    # the files
    "no such file": Case(
        files={"mine.json": qa()},
        entry={"file_name": "min.json"},
        faults=("min.json does not exist (did you mean 'mine.json'?)",),
    ),
    "no type": Case(files={"mine.xlsx": "x"}, faults=("mine.xlsx is of no type that LLaMA-Factory reads",)),
    "types are mixed": Case(
        files={"all/a.json": qa(), "all/b.csv": qa()},
        entry={"file_name": "all"},
        faults=("all holds files of several types: csv, json",),
    ),
    "another file in the folder": Case(
        files={"all/a.json": qa(), "all/.DS_Store": "x"},
        entry={"file_name": "all"},
        faults=(".DS_Store is of no type",),
    ),
    "a folder in the folder": Case(
        files={"all/a.json": qa(), "all/b/c.json": qa()}, entry={"file_name": "all"}, faults=("all/b is a folder",)
    ),
    **{f"empty{kind}": Case(files={f"mine{kind}": ""}, faults=("",)) for kind in (*TABLES, ".txt")},
    "no rows": Case(files={"mine.json": "[]"}, faults=("it has no rows",)),
    "blank": Case(files={"mine.jsonl": "\n\n"}, faults=("it has no rows",)),
    # broken files
    "a broken line": Case(
        files={"mine.jsonl": lines(qa()[0], '{"instruction": "a" "b"}', qa()[0])},
        faults=("mine.jsonl, line 2: the line is no JSON at column 21: Expecting ',' delimiter",),
    ),
    "several broken lines": Case(
        files={"mine.jsonl": lines(qa()[0], "oops", qa()[0], "{,}", "]")},
        faults=("line 2: the line is no JSON at column 1: Expecting value; and 2 more",),
    ),
    "a line that is cut off": Case(
        files={"mine.jsonl": lines(*qa())[:-20]}, faults=("mine.jsonl, line 3: the line is cut off or broken",)
    ),
    "a list that is cut off": Case(files={"mine.json": _CUT}, faults=("mine.json, line 1: the file ends",)),
    "a list that is cut off in lines": Case(
        files={"mine.json": json.dumps(qa(), indent=1)[:-25]},
        faults=("mine.json, line 15: the file ends in the middle of row 3",),
    ),
    "a list that is broken in a row": Case(
        files={"mine.json": json.dumps(qa()).replace('"count 1"', "count 1")},
        faults=("line 1: it is no JSON in row 2 at column",),
    ),
    "a list of numbers": Case(
        files={"mine.json": [1, 2, 3]},
        faults=("mine.json, row 1 (line 2): the row is a number, not an object",),
    ),
    "a list of texts for questions": Case(
        files={"mine.json": '["one", "two"]'},
        faults=("mine.json, row 1 (line 1): the row is text, not an object",),
    ),
    "a comma too many": Case(
        files={"mine.json": '[\n{"instruction": "a", "input": "", "output": "b"},\n]'},
        faults=("mine.json, line 3: it is no JSON at column 1",),
    ),
    "a list in lines": Case(
        files={"mine.jsonl": lines(qa()[0], [1, 2])}, faults=("row 2 (line 2): the row is a list",)
    ),
    "text in a list": Case(files={"mine.json": [*qa(), "x"]}, faults=("row 4 (line 17): the row is text, not an obj",)),
    "UTF-16": Case(files={"mine.jsonl": _UTF16}, faults=("line 1: the file is UTF-16, and not UTF-8",)),
    "latin-1": Case(
        files={"mine.jsonl": lines(*qa()).encode() + _LATIN}, faults=("line 4: the byte 0xe9 is not UTF-8",)
    ),
    "latin-1 list": Case(files={"mine.json": b"[\n" + _LATIN + b"]"}, faults=("line 2: the byte 0xe9 is not UTF-8",)),
    "latin-1 csv": Case(
        files={"mine.csv": b"instruction,input,output\na,,caf\xe9\n"}, faults=("line 2: the byte 0xe9",)
    ),
    "latin-1 text": Case(
        files={"mine.txt": b"one\ncaf\xe9\n"}, entry=TEXT, args={"stage": "pt"}, faults=("line 2: the byte 0xe9",)
    ),
    "too many cells": Case(files={"mine.csv": "instruction,input,output\na,b,c\na,b,c,d,e\n"}, faults=("line 3",)),
    "no parquet": Case(files={"mine.parquet": lines(*qa())}, faults=("it cannot be read",)),
    "no arrow": Case(files={"mine.arrow": lines(*qa())}, faults=("it cannot be read",)),
    "text and numbers": Case(
        files={"mine.jsonl": lines(*qa(), *qa(1, output=3))},
        faults=("row 4 (line 4): column 'output' is a number here, and text in row 1",),
    ),
    "text and numbers in a list": Case(
        files={"mine.json": [*qa(), *qa(1, input=3)]},
        faults=("row 4 (line 17): column 'input' is a number here, and text in row 1",),
    ),
    "text and lists within messages": Case(
        files={"mine.jsonl": lines(chat(), chat(("human", ["a"]), ("gpt", "b")))},
        entry=CHAT,
        faults=("row 2 (line 2): column 'conversations' ([].value) is a list here, and text in row 1",),
    ),
    "another column in the second file": Case(
        files={"all/a.jsonl": lines(*qa(x=1)), "all/b.jsonl": lines(*qa(y=1))},
        entry={"file_name": "all"},
        faults=("column",),
    ),
    "another type in the second file": Case(
        files={"all/a.jsonl": lines(*qa(x=[1])), "all/b.jsonl": lines(*qa(x="b"))},
        entry={"file_name": "all"},
        faults=("column 'x' is ",),
    ),
    # columns
    "no such column": Case(
        files={"mine.json": qa()},
        entry={"columns": {"prompt": "question", "response": "outptu"}},
        faults=(
            "column 'question', which prompt is read from, is not there",
            "did you mean 'output'? set response in columns",
        ),
    ),
    "no such column by default": Case(
        files={"mine.json": [{"instruction": "a", "output": "b"}]},
        faults=("column 'input', which query is read from, is not there",),
    ),
    "no such columns": Case(
        files={"mine.jsonl": lines({"question": "a", "answer": "b"})},
        faults=(
            "mine.jsonl: columns 'instruction', 'input', 'output', which prompt, query, response are read from, "
            "are not there: the columns are question, answer (set prompt, query, response in columns",
        ),
    ),
    "columns with semicolons": Case(
        files={"mine.csv": "instruction;input;output\na;;b\n"}, faults=("(write a comma between columns",)
    ),
    "no messages": Case(
        files={"mine.json": [openai()]}, entry=CHAT, faults=("column 'conversations', which messages",)
    ),
    "no tools": Case(files={"mine.json": [chat()]}, entry=CHAT_TOOLED, faults=("column 'tools', which tools",)),
    "no history": Case(
        files={"mine.json": qa()},
        entry={"columns": {"prompt": "instruction", "response": "output", "history": "past"}},
        faults=("column 'past'",),
    ),
    "no system in a row": Case(
        files={"mine.json": [chat(("system", "be red"), ("human", "a"), ("gpt", "b")), chat()]},
        entry={**CHAT, "columns": {"messages": "conversations", "system": "sys"}},
        faults=("row 2 (line 18): column 'sys', which system is read from, is not there",),
    ),
    "no rejected": Case(
        files={"mine.json": qa(chosen="a")},
        entry=DPO,
        args={"stage": "dpo"},
        faults=("column 'rejected', which rejected is read from, is not there",),
    ),
    "no kto_tag": Case(
        files={"mine.json": [openai()]},
        entry=KTO,
        args={"stage": "kto"},
        faults=("column 'label', which kto_tag is read from",),
    ),
    # values
    "a question that is a number": Case(
        files={"mine.json": qa(instruction=3)},
        faults=("column 'instruction' is a number, not text; and 2 more rows like it (write text)",),
    ),
    "answers that are numbers": Case(files={"mine.json": qa(output=3)}, faults=("all 3 rows are left out, the first",)),
    "an answer that is null": Case(
        files={"mine.jsonl": lines(*qa(), *qa(1, output=None))},
        left_out=("mine.jsonl, row 4 (line 4) is left out: column 'output' is null",),
    ),
    "an answer that is not there": Case(
        files={"mine.csv": [*qa(), *qa(2, output="")]},
        left_out=("row 4 is left out: column 'output' is null, not text; and 1 more row",),
    ),
    "history of three": Case(
        files={"mine.json": qa(history=[["a", "b", "c"]])},
        entry={"columns": {"prompt": "instruction", "response": "output", "history": "history"}},
        faults=("turn 1 of column 'history' is a list of 3",),
    ),
    "a history with null": Case(
        files={"mine.json": qa(history=[["a", None]])},
        entry={"columns": {"prompt": "instruction", "response": "output", "history": "history"}},
        faults=("turn 1 of column 'history' is null, not text",),
    ),
    "messages are text": Case(
        files={"mine.json": [{"conversations": "hello"}]},
        entry=CHAT,
        faults=("column 'conversations' is text, not a list of messages",),
    ),
    "messages are null": Case(
        files={"mine.json": [chat(), {"conversations": None}]},
        entry=CHAT,
        faults=("row 2 (line 14): column 'conversations' is null",),
    ),
    "messages are texts": Case(
        files={"mine.json": [{"conversations": ["a", "b"]}]},
        entry=CHAT,
        faults=("message 1 of column 'conversations' is text, not an object",),
    ),
    "a message is null": Case(
        files={"mine.json": [{"conversations": [chat()["conversations"][0], None]}]},
        entry=CHAT,
        faults=("message 2 of column 'conversations' is null, not an object",),
    ),
    "messages of other tags": Case(
        files={"mine.json": [{"conversations": openai()["messages"]}]},
        entry=CHAT,
        faults=("message 1 of column 'conversations' has no 'from', but role, content",),
    ),
    "a content that is null": Case(
        files={"mine.json": [chat(), chat(("human", "a"), ("gpt", None))]},
        entry=CHAT,
        faults=("row 2 (line 14): message 2 of column 'conversations' is null, not text",),
    ),
    "a content that is a list": Case(
        files={
            "mine.json": [
                openai(("user", [{"type": "text", "text": "a"}]), ("assistant", [{"type": "text", "text": "a"}]))
            ]
        },
        entry=OPENAI,
        faults=("message 1 of column 'messages' is a list, not text",),
    ),
    "a system that is a number": Case(
        files={"mine.json": qa(sys=3)},
        entry={"columns": {"prompt": "instruction", "response": "output", "system": "sys"}},
        faults=("its system message is a number",),
    ),
    # roles and turns: LLaMA-Factory leaves such rows out, but for openai's
    "an unknown role": Case(
        files={"mine.json": [chat(), chat(("human", "a"), ("bot", "b"))]},
        entry=CHAT,
        left_out=("row 2 (line 14) is left out: message 2 of column 'conversations' has the role 'bot'",),
    ),
    "the roles of another format": Case(
        files={"mine.json": [chat(), chat(("user", "a"), ("assistant", "b"))]},
        entry=CHAT,
        left_out=(
            "message 1 of column 'conversations' has the role 'user' (known: function_call, gpt, human, observation, "
            "system; roles are named in tags of dataset_info.json)",
        ),
    ),
    "an unknown role of openai": Case(
        files={"mine.json": [openai(), openai(("user", "a"), ("bot", "b"))]},
        entry=OPENAI,
        faults=("row 2 (line 14): message 2 of column 'messages' has the role 'bot'",),
    ),
    "out of turn": Case(
        files={"mine.json": [chat(), chat(("gpt", "a"), ("human", "b"))]},
        entry=CHAT,
        left_out=("message 1 of column 'conversations' is 'gpt' out of turn (human or observation",),
    ),
    "out of turn of openai": Case(
        files={"mine.json": [openai(), openai(("assistant", "a"), ("user", "b"))]},
        entry=OPENAI,
        left_out=("message 1 of column 'messages' is 'assistant' out of turn",),
    ),
    "an odd number": Case(
        files={"mine.json": [chat(), chat(("human", "a"))] + [chat(("human", "b"))] * 3},
        entry=CHAT,
        left_out=("has 1 messages, an odd number; and 3 more rows like it",),
    ),
    "no message": Case(
        files={"mine.json": [chat(), {"conversations": []}]}, entry=CHAT, left_out=("it has no message",)
    ),
    "all out of turn": Case(
        files={"mine.json": [chat(("gpt", "a"), ("human", "b"))] * 2},
        entry=CHAT,
        faults=("all 2 rows are left out, the first because message 1",),
    ),
    "out of turn in a text": Case(
        files={"mine.json": [chat(("gpt", "a"))]},
        entry=CHAT,
        args={"stage": "pt"},
        faults=("message 1 of column 'conversations' is 'gpt' out of turn",),
    ),
    # tools
    "a tool without properties": with_tools(
        [{**TOOL, "parameters": {}}], faults=('column \'tools\': tool 1 has "parameters" without "properties"',)
    ),
    "a tool without parameters": with_tools([{"name": "a"}], faults=('tool 1 has no "parameters"',)),
    "a tool without name": with_tools([{"parameters": {"properties": {}}}], faults=('tool 1 has no "name"',)),
    "a tool without function": with_tools([{"type": "function"}], faults=('tool 1 has no object "function"',)),
    "a tool of text": with_tools(["add"], faults=("tool 1 is text, not an object",)),
    "one tool": with_tools(TOOL, faults=("is an object, not a list of tools",)),
    "an enum of numbers": with_tools(
        [{"name": "a", "parameters": {"properties": {"x": {"enum": [1]}}}}],
        faults=("whose enum is not a list of texts",),
    ),
    "tools that are no JSON": with_tools("add(a, b)", faults=("column 'tools': is no JSON",)),
    "a tool of text in another template": with_tools(["add"], args={"template": "qwen"}, faults=("tool 1 is text",)),
    "tools that are lists": Case(files={"mine.json": qa(tools=[TOOL])}, entry=TOOLED, faults=("is a list, not text",)),
    "a call that is no JSON": Case(
        files={"mine.json": [chat(("human", "a"), ("function_call", "add(1)"))]},
        entry=CHAT,
        faults=("calls a function, and is no JSON",),
    ),
    "a call without arguments": Case(
        files={"mine.json": [chat(("human", "a"), ("function_call", '{"name": "a"}'))]},
        entry=CHAT,
        faults=('calls a function without "arguments"',),
    ),
    "a tool whose name is a number": with_tools([{**TOOL, "name": 3}], faults=('has a "name" that is a number',)),
    "no call of glm4": Case(
        files={"mine.json": [chat(("human", "a"), ("function_call", "[]"))]},
        entry=CHAT,
        args={"template": "glm4"},
        faults=("is an empty list, which this template cannot write",),
    ),
    "a call of nothing": Case(
        files={"mine.json": [chat(("human", "a"), ("function_call", '{"name": null, "arguments": {}}'))]},
        entry=CHAT,
        args={"template": "seed_oss"},
        faults=('calls a function with a "name" that is null, not text',),
    ),
    # preferences and feedback
    "rejected is null": Case(
        files={"mine.json": [*qa(chosen="a", rejected="b"), *qa(1, chosen="a", rejected=None)]},
        entry=DPO,
        args={"stage": "dpo"},
        left_out=("row 4",),
    ),
    "chosen of an unknown role": Case(
        files={
            "mine.json": [
                {
                    "conversations": talk(("human", "a")),
                    "chosen": talk(("bot", "b"))[0],
                    "rejected": talk(("gpt", "c"))[0],
                }
            ]
        },
        entry=DPO_CHAT,
        args={"stage": "dpo"},
        faults=("column 'chosen' has the role 'bot'",),
    ),
    "preferences that end with an answer": Case(
        files={
            "mine.json": [
                {
                    "conversations": talk(("human", "a"), ("gpt", "x")),
                    "chosen": talk(("gpt", "b"))[0],
                    "rejected": talk(("gpt", "c"))[0],
                },
                {
                    "conversations": talk(("human", "a")),
                    "chosen": talk(("gpt", "b"))[0],
                    "rejected": talk(("gpt", "c"))[0],
                },
            ]
        },
        entry=DPO_CHAT,
        args={"stage": "dpo"},
        left_out=("has 2 messages, an even number",),
    ),
    "kto_tag is a number": Case(
        files={"mine.json": [openai(label=1), openai(label=0)]},
        entry=KTO,
        args={"stage": "kto"},
        faults=("all 2 rows are left out, the first because its kto_tag is not true or false",),
    ),
    "feedback among answers": Case(
        files={"mine.json": [openai(label=True)]}, entry=KTO, faults=("its only row is left out because",)
    ),
    "feedback out of turn": Case(
        files={"mine.json": [openai(label=True), openai(("user", "a"), label=False)]},
        entry=KTO,
        args={"stage": "kto"},
        faults=("has 1 messages, an odd number",),
    ),
    # media
    "images for a model of text": Case(
        files={"mine.json": qa(images=["a.png"])},
        entry={"columns": {"prompt": "instruction", "response": "output", "images": "images"}},
        faults=("it has images, which the template does not take",),
    ),
}
