"""What a data set's entry in the index says: its files, its format, and which columns and tags mean what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dataflex_core.llamafactory.datasets.wrong import Wrong
from dataflex_core.wording import did_you_mean, first_line

INDEX = "dataset_info.json"
FORMATS = ("alpaca", "sharegpt", "openai")
MEDIA = ("images", "videos", "audios")
_COLUMNS = ("prompt", "query", "response", "history", "messages", "system", "tools", *MEDIA)
_PREFERENCES = ("chosen", "rejected", "kto_tag")
_TAGS = ("role_tag", "content_tag", "user_tag", "assistant_tag", "observation_tag", "function_tag", "system_tag")
_HUBS = ("hf_hub_url", "ms_hub_url", "om_hub_url")
_ELSEWHERE = (*_HUBS, "script_url", "cloud_file_name")
_ABOUT = ("formatting", "ranking", "subset", "split", "folder", "num_samples", "columns", "tags")
_KEYS = ("file_name", *_ELSEWHERE, *_ABOUT)
_ONLY_ELSEWHERE = ("subset", "folder")
_MANY = 10**9  # rows, so that any part of a split has some
_DEFAULT_COLUMNS = {"prompt": "instruction", "query": "input", "response": "output", "messages": "conversations"}
_DEFAULT_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry, with LLaMA-Factory's own defaults: a mapping that is written replaces all of them."""

    file_name: str
    formatting: str = "alpaca"
    ranking: Any = False
    split: Any = "train"
    num_samples: Any = None
    columns: Mapping[str, Any] = field(default_factory=lambda: dict(_DEFAULT_COLUMNS))
    tags: Mapping[str, Any] = field(default_factory=lambda: dict(_DEFAULT_TAGS))

    def column(self, role: str) -> Any:
        """The column of the file that is read as ``role``; None where none is."""
        return self.columns.get(role)

    def tag(self, role: str) -> Any:
        """What the data call ``role``; None where nothing is called so."""
        return self.tags.get(role)

    @property
    def chats(self) -> bool:
        """Whether a row holds a list of messages."""
        return self.formatting in ("sharegpt", "openai")

    @property
    def read_always(self) -> tuple[str, ...]:
        """The roles whose columns are read of every row, in the order in which they are."""
        if self.formatting == "openai":
            wanted: tuple[str, ...] = ("messages", *MEDIA)
        elif self.chats:
            wanted = ("messages", "tools", *MEDIA)
        else:
            answer = () if self.ranking else ("response",)
            wanted = ("history", "prompt", "query", *answer, "kto_tag", "system", "tools", *MEDIA)
        if self.ranking:
            wanted += ("chosen", "rejected")
        if self.column("kto_tag"):
            wanted += ("kto_tag",)
        always = ("messages", "chosen", "rejected")
        return tuple(dict.fromkeys(role for role in wanted if self.column(role) or role in always))


def read_entry(plain: Any) -> tuple[Entry | None, list[Wrong]]:
    """The entry as far as it can be used, None for one of which no file here is read, and what is wrong with it."""
    if not isinstance(plain, dict):
        return None, [Wrong(kind="entry", said="its entry is no object", hint='write {"file_name": ...}')]
    wrong = list(_faults(plain))
    if any(key in plain for key in _ELSEWHERE) or not (
        isinstance(name := plain.get("file_name"), str) and name.strip()
    ):
        return None, wrong
    columns, tags = plain.get("columns", {}), plain.get("tags", {})
    if not isinstance(columns, dict) or not isinstance(tags, dict):
        return None, wrong
    known = (*_COLUMNS, *_PREFERENCES)
    entry = Entry(
        file_name=name,
        formatting=plain.get("formatting", "alpaca"),
        ranking=plain.get("ranking", False),
        split=plain.get("split", "train"),
        num_samples=plain.get("num_samples"),
        columns={role: columns.get(role) for role in known} if "columns" in plain else dict(_DEFAULT_COLUMNS),
        tags={role: tags.get(role) for role in _TAGS} if "tags" in plain else dict(_DEFAULT_TAGS),
    )
    return entry, [*wrong, *_unusable(entry)]


def _faults(plain: Mapping[str, Any]) -> Iterator[Wrong]:
    elsewhere = any(key in plain for key in _ELSEWHERE)
    if not elsewhere and "file_name" not in plain:
        yield Wrong(kind="file_name", said="its entry names no file", hint="give it a file_name")
    elif not elsewhere and not (isinstance(plain["file_name"], str) and plain["file_name"].strip()):
        yield Wrong(kind="file_name", said=f"file_name is {plain['file_name']!r}", hint="name a file, or a folder")
    if (key := _address(plain)) is not None and not (isinstance(plain[key], str) and plain[key].strip()):
        beside = f", or take it out: file_name is not read beside {key}" if "file_name" in plain else ""
        yield Wrong(kind=key, said=f"{key} is {plain[key]!r}", hint=f"write the name of a data set{beside}")
    for name in plain:
        if name in _ONLY_ELSEWHERE and not elsewhere and plain[name] is not None:
            said = f"its entry has {name!r}, which is not read of a data set that file_name names"
            yield Wrong(kind=f"key {name}", said=said, hint="take it out", ends=False)
        if name not in _KEYS:
            said = f"its entry has {name!r}, which LLaMA-Factory does not read"
            yield Wrong(kind=f"key {name}", said=said, hint=did_you_mean(name, _KEYS), ends=False)
    form = plain.get("formatting", "alpaca")
    if form not in FORMATS:
        yield Wrong(kind="formatting", said=f"formatting is {form!r}", hint=did_you_mean(str(form), FORMATS))
    for key, known in (("columns", (*_COLUMNS, *_PREFERENCES)), ("tags", _TAGS)):
        given = plain.get(key, {})
        if not isinstance(given, dict):
            yield Wrong(kind=key, said=f"{key} is {given!r}", hint="write an object of names")
            continue
        for name in given:
            if name not in known:
                said = f"{key} has {name!r}, which LLaMA-Factory does not read"
                yield Wrong(kind=f"{key} {name}", said=said, hint=did_you_mean(name, known), ends=False)


def _address(plain: Mapping[str, Any]) -> str | None:
    """The key that says where a data set lies, if not in a file; None also where it depends on the environment."""
    hubs = [key for key in _HUBS if key in plain]
    if hubs:
        return hubs[0] if len(hubs) == 1 else None
    return next((key for key in ("script_url", "cloud_file_name") if key in plain), None)


def _unusable(entry: Entry) -> Iterator[Wrong]:
    if entry.chats:
        for tag in ("role_tag", "content_tag"):
            if entry.tag(tag) is None:
                hint = "tags replaces all of LLaMA-Factory's own: write every one that the data use"
                yield Wrong(kind=tag, said=f"tags leaves out {tag}", hint=hint)
        for tag in _TAGS:
            if isinstance(entry.tag(tag), list | dict):
                said = f"tags has {entry.tag(tag)!r} as {tag}"
                yield Wrong(kind=tag, said=said, hint="write the one word that the data use")
    for role in entry.read_always:
        if entry.column(role) is None:
            why = "with ranking: true " if role in ("chosen", "rejected") else ""
            hint = "columns replaces all of LLaMA-Factory's own: write every one that the data have"
            yield Wrong(kind=role, said=f"{why}columns leaves out {role}", hint=hint)
    count = entry.num_samples
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
        yield Wrong(kind="num_samples", said=f"num_samples is {count!r}", hint="write a whole number of at least 1")
    if (no_split := _no_split(entry.split)) is not None:
        said, hint = f"split is {entry.split!r}{no_split}", "leave it out: all of a file is called train"
        yield Wrong(kind="split", said=said, hint=hint)


def _no_split(split: Any) -> str | None:
    """What is wrong with the split of a file, in words that follow it; None where nothing is."""
    if split in ("train", "all"):
        return None
    if not isinstance(split, str) or not split.startswith("train"):
        return ""
    from datasets import ReadInstruction, Split

    try:
        Split(split)
        parts = ReadInstruction.from_spec(split).to_absolute({"train": _MANY})
    except ValueError as error:
        return f": {first_line(error)}"
    return ": it has no row" if any(part.from_ >= part.to for part in parts) else None
