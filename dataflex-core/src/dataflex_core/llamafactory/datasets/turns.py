"""A row as its turns: what LLaMA-Factory's converters make of it, and where they stop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflex_core.llamafactory.datasets.entry import Entry
from dataflex_core.llamafactory.datasets.wrong import Wrong, kind_of
from dataflex_core.wording import did_you_mean

USER, ASSISTANT, OBSERVATION, FUNCTION, SYSTEM = "user", "assistant", "observation", "function", "system"
_ASKS, _ANSWERS = (USER, OBSERVATION), (ASSISTANT, FUNCTION)
_ROLE_TAGS = {
    "user_tag": USER,
    "assistant_tag": ASSISTANT,
    "observation_tag": OBSERVATION,
    "function_tag": FUNCTION,
    "system_tag": SYSTEM,
}

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A message: its role, in LLaMA-Factory's words, what it says, and where it stands in the row, in words."""

    role: str
    content: Any
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """Prompt and response; ``dropped`` is why the row is left out, None where it is not."""

    prompt: Sequence[Turn] = ()
    response: Sequence[Turn] = ()
    system: Any = ""
    dropped: Wrong | None = None


class RowEndsRun(Exception):
    """A row over which a run stops, and why."""

    def __init__(self, kind: str, said: str, hint: str) -> None:
        super().__init__(said)
        self.wrong = Wrong(kind=kind, said=said, hint=hint)


def turns_of(row: Row, entry: Entry) -> Turns:
    """The turns of a row that has the columns of ``entry.read_always``. Raises `RowEndsRun`."""
    return _of_chat(row, entry) if entry.chats else _of_alpaca(row, entry)


def value_of(row: Row, entry: Entry, role: str) -> Any:
    """What a row has in the column that is read as ``role``. Raises `RowEndsRun` where there is none such."""
    name = entry.column(role)
    if name not in row:
        hint = f"map {role} to a column of the data in dataset_info.json: {did_you_mean(str(name), row)}"
        raise RowEndsRun(f"no {role}", f"column {name!r}, which {role} is read from, is not there", hint)
    return row[name]


def _of_alpaca(row: Row, entry: Entry) -> Turns:
    prompt = list(_history(row, entry))
    query = []
    for role in ("prompt", "query"):
        if entry.column(role) and (value := value_of(row, entry, role)):
            if not isinstance(value, str):
                said = f"column {entry.column(role)!r} is {kind_of(value)}, not text"
                raise RowEndsRun(f"type of {role}", said, "write text")
            query.append(value)
    prompt.append(Turn(role=USER, content="\n".join(query), place=f"column {entry.column('prompt')!r}"))
    response, dropped = _alpaca_answers(row, entry)
    system = value_of(row, entry, "system") if entry.column("system") else ""
    return Turns(prompt=prompt, response=response, system=system, dropped=dropped)


def _history(row: Row, entry: Entry) -> Sequence[Turn]:
    past = value_of(row, entry, "history") if entry.column("history") else None
    turns: list[Turn] = []
    for number, pair in enumerate(past if isinstance(past, list) else (), 1):
        place = f"turn {number} of column {entry.column('history')!r}"
        if not isinstance(pair, list | str | dict) or len(pair) != 2:
            size = f" of {len(pair)}" if isinstance(pair, list) else ""
            raise RowEndsRun("history", f"{place} is {kind_of(pair)}{size}", "write [question, answer]")
        asked, answered = tuple(pair)
        turns += [Turn(role=USER, content=asked, place=place), Turn(role=ASSISTANT, content=answered, place=place)]
    return turns


def _alpaca_answers(row: Row, entry: Entry) -> tuple[Sequence[Turn], Wrong | None]:
    def answer(content: Any, role: str) -> Turn:
        return Turn(role=ASSISTANT, content=content, place=f"column {entry.column(role)!r}")

    if entry.column("kto_tag") and isinstance(liked := value_of(row, entry, "kto_tag"), bool):
        given = answer(value_of(row, entry, "response"), "response")
        return _liked(given, liked), None
    if entry.ranking:
        chosen = value_of(row, entry, "chosen")
        if isinstance(chosen, str) and isinstance(rejected := value_of(row, entry, "rejected"), str):
            return [answer(chosen, "chosen"), answer(rejected, "rejected")], None
    if entry.column("response") and isinstance(value := value_of(row, entry, "response"), str):
        return [answer(value, "response")], None
    role = "chosen" if entry.ranking else "response"
    name = entry.column(role)
    said = f"column {name!r} is {kind_of(row.get(name))}, not text" if name else "it has no answer"
    return [], Wrong(kind=f"no {role}", said=said, hint="write text, or take the row out", ends=False)


def _liked(given: Turn, liked: bool) -> Sequence[Turn]:
    nothing = Turn(role=ASSISTANT, content="", place="")
    return [given, nothing] if liked else [nothing, given]


def _of_chat(row: Row, entry: Entry) -> Turns:
    messages = value_of(row, entry, "messages")
    column = entry.column("messages")
    if not isinstance(messages, list) and messages != "":
        said = f"column {column!r} is {kind_of(messages)}, not a list of messages"
        raise RowEndsRun("messages", said, "write a list of messages")
    system, begin = "", 0
    if messages and entry.tag("system_tag") and _field(messages, 0, entry, "role_tag") == entry.tag("system_tag"):
        system, begin = _field(messages, 0, entry, "content_tag"), 1
    elif entry.column("system"):
        optional = entry.formatting == "openai"
        system = row.get(entry.column("system"), "") if optional else value_of(row, entry, "system")
    read = _sharegpt_turns if entry.formatting == "sharegpt" else _openai_turns
    turns, dropped = read(messages, begin, entry)
    dropped = dropped or _of_wrong_number(len(turns), entry)
    if dropped is not None:
        return Turns(system=system, dropped=dropped)
    prompt, response = turns[:-1], turns[-1:]
    if entry.column("kto_tag") and isinstance(liked := value_of(row, entry, "kto_tag"), bool):
        if not response:
            raise RowEndsRun("no message", f"column {column!r} has no message", "take the row out")
        return Turns(prompt=prompt, response=_liked(response[0], liked), system=system)
    if entry.ranking:
        chosen, rejected = value_of(row, entry, "chosen"), None
        if isinstance(chosen, dict) and isinstance(rejected := value_of(row, entry, "rejected"), dict):
            pair = [_preference(one, role, entry) for one, role in ((chosen, "chosen"), (rejected, "rejected"))]
            return Turns(prompt=turns, response=pair, system=system)
    return Turns(prompt=prompt, response=response, system=system)


def _field(messages: Sequence[Any], place: int, entry: Entry, tag: str) -> Any:
    return _field_of(messages[place], f"message {place + 1} of column {entry.column('messages')!r}", entry, tag)


def _field_of(message: Any, place: str, entry: Entry, tag: str) -> Any:
    name = entry.tag(tag)
    if not isinstance(message, dict):
        raise RowEndsRun("message", f"{place} is {kind_of(message)}, not an object", "write role and content")
    if name not in message:
        said = f"{place} has no {name!r}, but {', '.join(map(str, message)) or 'nothing'}"
        raise RowEndsRun(f"no {tag}", said, f"name them in tags of dataset_info.json, beginning with {tag}")
    return message[name]


def _sharegpt_turns(messages: Sequence[Any], begin: int, entry: Entry) -> tuple[list[Turn], Wrong | None]:
    roles = {entry.tag(tag): role for tag, role in _ROLE_TAGS.items()}
    turns: list[Turn] = []
    for number in range(len(messages) - begin):
        place = f"message {begin + number + 1} of column {entry.column('messages')!r}"
        said = _field(messages, begin + number, entry, "role_tag")
        if said not in _tags(entry)[number % 2]:
            return turns, _out_of_turn(place, said, number, entry)
        turns.append(
            Turn(role=roles[said], content=_field(messages, begin + number, entry, "content_tag"), place=place)
        )
    return turns, None


def _openai_turns(messages: Sequence[Any], begin: int, entry: Entry) -> tuple[list[Turn], Wrong | None]:
    roles = {entry.tag(tag): role for tag, role in _ROLE_TAGS.items()}
    turns: list[Turn] = []
    results: list[str] = []
    for number in range(begin, len(messages)):
        place = f"message {number + 1} of column {entry.column('messages')!r}"
        role, content = _field(messages, number, entry, "role_tag"), _field(messages, number, entry, "content_tag")
        if role in _tags(entry)[1] and (calls := messages[number].get("tool_calls")):
            content, role = _called(calls, place), entry.tag("function_tag")
        if role not in roles:
            raise RowEndsRun("role", f"{place} has the role {role!r}", _named_in_tags(role, entry))
        if role == entry.tag("observation_tag"):
            if not isinstance(content, str):
                raise RowEndsRun("content", f"{place} is {kind_of(content)}, not text", "write text")
            results.append(content)
            continue
        if results:
            turns.append(Turn(role=OBSERVATION, content="\n".join(results), place=place))
            results = []
        turns.append(Turn(role=roles[role], content=content, place=place))
    for number, turn in enumerate(turns):
        if turn.role not in (_ASKS, _ANSWERS)[number % 2]:
            tag = next(tag for tag, role in roles.items() if role == turn.role)
            return turns, _out_of_turn(turn.place, tag, number, entry)
    return turns, None


def _called(calls: Any, place: str) -> str:
    try:
        return json.dumps([call["function"] for call in calls], ensure_ascii=False)
    except (TypeError, KeyError, ValueError) as error:
        hint = 'write {"function": {"name": ..., "arguments": ...}} for each'
        raise RowEndsRun("tool_calls", f"the tool_calls of {place} have no function", hint) from error


def _tags(entry: Entry) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    asks, answers = ("user_tag", "observation_tag"), ("assistant_tag", "function_tag")
    return (entry.tag(asks[0]), entry.tag(asks[1])), (entry.tag(answers[0]), entry.tag(answers[1]))


def _out_of_turn(place: str, said: Any, number: int, entry: Entry) -> Wrong:
    expected = " or ".join(str(tag) for tag in _tags(entry)[number % 2] if tag is not None)
    if str(said) in _roles(entry):
        return Wrong(kind="turn", said=f"{place} is {said!r} out of turn", hint=f"{expected} comes there", ends=False)
    return Wrong(kind="role", said=f"{place} has the role {said!r}", hint=_named_in_tags(said, entry), ends=False)


def _roles(entry: Entry) -> list[str]:
    """What the data call the roles."""
    return [str(entry.tag(tag)) for tag in _ROLE_TAGS if entry.tag(tag) is not None]


def _named_in_tags(said: Any, entry: Entry) -> str:
    """What to do about a role that the data do not know."""
    near = did_you_mean(str(said), _roles(entry))
    return f"{near}{' ' if near.endswith('?') else '; '}roles are named in tags of dataset_info.json"


def _of_wrong_number(count: int, entry: Entry) -> Wrong | None:
    if count % 2 == (1 if entry.ranking else 0):
        return None
    what = "even" if entry.ranking else "odd"
    need = "end with a question" if entry.ranking else "end with an answer"
    said = f"column {entry.column('messages')!r} has {count} messages, an {what} number"
    return Wrong(kind="number", said=said, hint=f"its messages have to {need}", ends=False)


def _preference(message: Row, role: str, entry: Entry) -> Turn:
    place = f"column {entry.column(role)!r}"
    roles = {entry.tag(tag): name for tag, name in _ROLE_TAGS.items()}
    said = _field_of(message, place, entry, "role_tag")
    if said not in roles:
        raise RowEndsRun(f"role of {role}", f"{place} has the role {said!r}", _named_in_tags(said, entry))
    return Turn(role=roles[said], content=_field_of(message, place, entry, "content_tag"), place=place)
