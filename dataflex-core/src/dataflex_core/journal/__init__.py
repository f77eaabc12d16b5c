"""The journal of a run: everything that it decides, an event a line of ``output_dir/dataflex/journal.jsonl``.

`read_journal` reads one, also of earlier versions; the classes say what every field means.
"""

from dataflex_core.journal.codec import from_record, to_record
from dataflex_core.journal.events import (
    SCHEMA,
    Decision,
    End,
    Event,
    Failed,
    Logged,
    Notice,
    Resume,
    RowsFact,
    ShortageFact,
    Start,
    Step,
    StrategyFact,
)
from dataflex_core.journal.reader import read_journal
from dataflex_core.journal.writer import Report

__all__ = [
    "SCHEMA",
    "Decision",
    "End",
    "Event",
    "Failed",
    "Logged",
    "Notice",
    "Report",
    "Resume",
    "RowsFact",
    "ShortageFact",
    "Start",
    "Step",
    "StrategyFact",
    "from_record",
    "read_journal",
    "to_record",
]
