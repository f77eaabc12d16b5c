"""Whether a row trains, is left out, or ends the run: what LLaMA-Factory's processors make of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.datasets.entry import MEDIA, Entry
from dataflex_core.llamafactory.datasets.templates import Template
from dataflex_core.llamafactory.datasets.tools import call_fault, tools_fault
from dataflex_core.llamafactory.datasets.turns import FUNCTION, Row, RowEndsRun, Turn, Turns, turns_of, value_of
from dataflex_core.llamafactory.datasets.wrong import Wrong, kind_of

PREFERENCES, FEEDBACK, TEXTS, PROMPTS, ANSWERS = "rm", "kto", "pt", "ppo", "sft"
_STAGES = {"dpo": PREFERENCES}


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a run does with rows: its ``processor``, one of the words above, its template, where its media lie."""

    processor: str
    template: Template | None
    media_folder: Path

    @classmethod
    def of(cls, stage: Any, template: Template | None, media_folder: Path, *, generates: bool = False) -> Use:
        """That of a stage; ``generates`` is whether it is evaluated by generating."""
        processor = _STAGES.get(str(stage), str(stage))
        if processor == ANSWERS and generates:
            processor = PROMPTS
        return cls(processor=processor, template=template, media_folder=media_folder)


def row_fault(row: Row, entry: Entry, use: Use) -> Wrong | None:
    """What is wrong with a row, None where it trains."""
    try:
        turns = turns_of(row, entry)
        medias = {kind: _medias(value_of(row, entry, kind)) for kind in MEDIA if entry.column(kind)}
        tools = _tools(row, entry)
    except RowEndsRun as ends:
        return ends.wrong
    if use.processor == TEXTS:
        return _text_fault(turns)
    if (dropped := _dropped(turns, entry, use)) is not None:
        return dropped
    spoken = _spoken(turns, use)
    first = (*_contents(spoken), *_system_and_tools(turns, tools, entry, use), *_calls(spoken, use))
    return first[0] if first else next(_media_faults(spoken, medias, use), None)


def _text_fault(turns: Turns) -> Wrong | None:
    if not turns.prompt:
        why = turns.dropped.said if turns.dropped else "it has no text"
        return Wrong(kind="no text", said=why, hint="give each row a text, or take it out")
    first = turns.prompt[0]
    return None if isinstance(first.content, str) else _not_text(first)


def _dropped(turns: Turns, entry: Entry, use: Use) -> Wrong | None:
    wanted = {ANSWERS: (1,), PREFERENCES: (2,), FEEDBACK: (2,)}.get(use.processor)
    answers = len(turns.response)
    if len(turns.prompt) % 2 == 1 and (wanted is None or answers in wanted):
        return None
    why = turns.dropped
    if why is None and use.processor == FEEDBACK:
        why = Wrong(kind="kto_tag", said="its kto_tag is not true or false", hint="write true or false", ends=False)
    elif why is None and answers == 2:
        hint = "use stage dpo or kto, or leave chosen, rejected and kto_tag out of columns"
        why = Wrong(
            kind="two answers", said=f"it has two answers, and stage {use.processor} takes one", hint=hint, ends=False
        )
    elif why is None and entry.ranking:
        why = Wrong(kind="ranking", said="chosen or rejected is no message", hint="write both", ends=False)
    elif why is None:
        why = Wrong(kind="no message", said="it has no messages", hint="take it out", ends=False)
    # The processor of feedback pairs each row with the answer of the one before it, and stops where that has none.
    answerless = not turns.response or (answers == 1 and not turns.response[0].content)
    if use.processor == FEEDBACK and answerless:
        return Wrong(kind=why.kind, said=why.said, hint=why.hint)
    return why


def _spoken(turns: Turns, use: Use) -> Sequence[Turn]:
    """The turns that are written out."""
    answers = turns.response
    if use.processor == FEEDBACK:
        answers = answers[:1] if answers[0].content else answers[1:2]
    elif use.processor == PROMPTS and len(answers) != 1:
        answers = ()
    return (*turns.prompt, *answers)


def _contents(spoken: Sequence[Turn]) -> Iterator[Wrong]:
    for turn in spoken:
        if not isinstance(turn.content, str):
            yield _not_text(turn)


def _not_text(turn: Turn) -> Wrong:
    return Wrong(kind="content", said=f"{turn.place} is {kind_of(turn.content)}, not text", hint="write text")


def _tools(row: Row, entry: Entry) -> Any:
    name = entry.column("tools")
    if not name:
        return ""
    if entry.formatting != "openai":
        return value_of(row, entry, "tools")
    tools = row.get(name, "")
    return json.dumps(tools, ensure_ascii=False, default=str) if isinstance(tools, dict | list) else tools


def _system_and_tools(turns: Turns, tools: Any, entry: Entry, use: Use) -> Iterator[Wrong]:
    if turns.system and not isinstance(turns.system, str):
        yield Wrong(kind="system", said=f"its system message is {kind_of(turns.system)}", hint="write text")
    if not tools:
        return
    place = f"column {entry.column('tools')!r}"
    if not isinstance(tools, str):
        hint = "write the tools as text that holds JSON"
        yield Wrong(kind="tools", said=f"{place} is {kind_of(tools)}, not text", hint=hint)
    elif (why := tools_fault(tools, use.template.tool_format if use.template else None)) is not None:
        hint = 'write a list of {"name", "description", "parameters": {"type": "object", "properties": {...}}}'
        yield Wrong(kind="tools", said=f"{place}: {why}", hint=hint)


def _calls(spoken: Sequence[Turn], use: Use) -> Iterator[Wrong]:
    form = use.template.call_format if use.template else None
    for turn in spoken:
        if turn.role == FUNCTION and isinstance(turn.content, str):
            why = call_fault(turn.content, form)
            if why is not None:
                hint = 'write {"name": ..., "arguments": {...}} as text'
                yield Wrong(kind="call", said=f"{turn.place} calls a function, and {why}", hint=hint)


def _medias(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, list) else [value]


def _media_faults(spoken: Sequence[Turn], medias: dict[str, Sequence[Any]], use: Use) -> Iterator[Wrong]:
    template = use.template
    if template is None:
        return
    for kind in MEDIA:
        one, given = kind.removesuffix("s"), medias.get(kind, ())
        if given and one not in template.media:
            hint = f"choose the template of a model that takes {kind}, or leave {kind} out of columns"
            yield Wrong(kind=f"no {kind}", said=f"it has {kind}, which the template does not take", hint=hint)
            continue
        if template.counts_media:
            yield from _miscounted(spoken, one, len(given), use)
        for item in given:
            if isinstance(item, str) and not _is_there(item, use.media_folder):
                hint = f"put it below {use.media_folder}, or set media_dir"
                yield Wrong(kind=f"missing {one}", said=f"its {one} {item} does not exist", hint=hint)


def _miscounted(spoken: Sequence[Turn], one: str, given: int, use: Use) -> Iterator[Wrong]:
    mark = os.environ.get(f"{one.upper()}_PLACEHOLDER", f"<{one}>")
    last = spoken[:-1] if use.processor == PREFERENCES else spoken  # chosen and rejected are each counted alone
    marks = sum(turn.content.count(mark) for turn in last)
    if marks != given:
        said = f"its messages have {mark} {marks} times, and it has {given} {one}{'' if given == 1 else 's'}"
        yield Wrong(kind=f"count of {one}s", said=said, hint=f"write {mark} once for each {one}")


def _is_there(path: str, folder: Path) -> bool:
    return "://" in path or (folder / path).is_file() or Path(path).exists()
