"""Which rows of a table have to be looked at one by one: whole columns tell that most need not be."""

from __future__ import annotations

from typing import Any

from dataflex_core.llamafactory.datasets.entry import MEDIA, Entry
from dataflex_core.llamafactory.datasets.rows import ANSWERS, PROMPTS, TEXTS, Use


def suspects(table: Any, entry: Entry, use: Use) -> Any:
    """The indices, Int64[N], of rows of an arrow table that may be left out or end the run; it may name sound ones."""
    import numpy as np

    everything = np.arange(table.num_rows)
    names = set(table.column_names)
    if entry.ranking or entry.column("kto_tag") or use.processor not in (ANSWERS, PROMPTS, TEXTS):
        return everything
    if use.template is not None and use.template.counts_media:
        return everything
    mapped = {role: name for role, name in entry.columns.items() if name}
    apart = ("messages",) if entry.chats else ("history",)
    texts = ("system",) if entry.chats else ("prompt", "query", "response", "system")
    if any(mapped[role] not in names for role in (*apart, *texts, "tools", *MEDIA) if role in mapped):
        return everything
    if any(not _is_text(table[mapped[role]].type) for role in texts if role in mapped):
        return everything
    doubtful = np.zeros(table.num_rows, dtype=bool)
    for role in ("tools", "history", *MEDIA):
        if role in mapped and not (entry.chats and role == "history"):
            column = table[mapped[role]]
            # An empty text in place of an image is an image without a name.
            doubtful |= ~_nulls(column) if role in MEDIA and _is_text(column.type) else _is_said(column)
    if entry.chats:
        doubtful |= _odd_chats(table[entry.column("messages")], entry)
    elif "response" in mapped and use.processor == ANSWERS:
        doubtful |= _nulls(table[mapped["response"]])
    elif use.processor == ANSWERS:
        return everything
    return np.flatnonzero(doubtful)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _nulls(column: Any) -> Any:
    import numpy as np

    return np.asarray(column.is_null())


def _is_said(column: Any) -> Any:
    """Whether a value is more than null, an empty text or an empty list."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(column.type):
        return ~_nulls(column)
    if _is_text(column.type):
        return np.asarray(pc.fill_null(pc.greater(pc.utf8_length(column), 0), False))
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return np.asarray(pc.fill_null(pc.greater(pc.list_value_length(column), 0), False))
    return ~_nulls(column)


def _odd_chats(column: Any, entry: Entry) -> Any:
    """Whether messages are anything but texts of user and assistant in turn, after at most one of the system."""
    import numpy as np
    import pyarrow as pa

    column = column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    odd = np.ones(len(column), dtype=bool)
    if not pa.types.is_list(column.type) or not pa.types.is_struct(column.type.value_type):
        return odd
    message = column.flatten()
    fields = {field.name: field.type for field in message.type}
    role, content = entry.tag("role_tag"), entry.tag("content_tag")
    if not {role, content} <= fields.keys() or not _is_text(fields[content]) or not _is_text(fields[role]):
        return odd
    lengths = np.asarray(column.value_lengths().fill_null(0))
    starts = np.cumsum(lengths) - lengths
    said, known = _codes(message.field(role), entry)
    bad = _nulls(message) | _nulls(message.field(content)) | (said < 0)
    if "tool_calls" in fields:
        bad |= _is_said(message.field("tool_calls"))
    begins = np.zeros(len(column), dtype=np.int64)
    filled = lengths > 0
    begins[filled] = said[starts[filled]] == known["system_tag"]
    owner = np.repeat(np.arange(len(column)), lengths)
    turn = np.arange(len(message)) - starts[owner] - begins[owner]
    expected = np.where(turn % 2 == 0, known["user_tag"], known["assistant_tag"])
    bad |= (turn >= 0) & (said != expected)
    odd = (lengths - begins) % 2 != 0
    odd |= (lengths - begins) == 0
    odd |= _nulls(column)
    odd |= np.bincount(owner, weights=bad, minlength=len(column)) > 0
    return odd


def _codes(roles: Any, entry: Entry) -> tuple[Any, dict[str, int]]:
    """Each message's role as the place of its word in the three that are ordinary, -1 for others; and these places."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    ordinary = ("system_tag", "user_tag", "assistant_tag")
    words = [entry.tag(tag) for tag in ordinary]
    asked = pa.array([word if isinstance(word, str) else None for word in words], pa.string())
    found = pc.index_in(roles.cast(pa.string()), value_set=asked, skip_nulls=True)
    places = {tag: place if words[place] is not None else -2 for place, tag in enumerate(ordinary)}
    return np.asarray(found.fill_null(-1)).astype(np.int64), places
