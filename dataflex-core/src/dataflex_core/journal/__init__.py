"""The journal of a run: everything that it decides, an event a line of ``output_dir/dataflex/journal.jsonl``.

`open_run` gives a run as its journal tells it, `read_journal` a file's events one by one, both also of earlier
versions; the classes say what every field means. The figures that reports and trackers show of them are in
`dataflex_core.journal.figures` and `dataflex_core.journal.tally`, which need numpy.
"""

from dataflex_core.journal.codec import from_record, to_record
from dataflex_core.journal.events import (
    SCHEMA,
    Decision,
    End,
    Evaluated,
    Event,
    Failed,
    Fallback,
    Logged,
    Notice,
    Resume,
    Start,
    Step,
    Trained,
)
from dataflex_core.journal.facts import RowsFact, ScoresFact, ShortageFact, StrategyFact, WeightsFact
from dataflex_core.journal.mixed import Mixed, mixed
from dataflex_core.journal.reader import read_journal
from dataflex_core.journal.run import Run, open_run
from dataflex_core.journal.writer import Report

__all__ = [
    "SCHEMA",
    "Decision",
    "End",
    "Evaluated",
    "Event",
    "Failed",
    "Fallback",
    "Logged",
    "Mixed",
    "Notice",
    "Report",
    "Resume",
    "RowsFact",
    "Run",
    "ScoresFact",
    "ShortageFact",
    "Start",
    "Step",
    "StrategyFact",
    "Trained",
    "WeightsFact",
    "from_record",
    "mixed",
    "open_run",
    "read_journal",
    "to_record",
]
