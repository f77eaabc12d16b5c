"""What a run leaves of what it chose, written without one."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dataflex_core.domains import Domain
from dataflex_core.journal import Decision, Start, Step
from dataflex_core.journal.scores import ScoreFiles
from dataflex_core.journal.writer import Journal
from dataflex_core.pool_rows import rows_file, write_rows
from dataflex_core.rows import Origins, Source
from dataflex_core.score_file import About

ROWS = [{"instruction": f"q{i}", "output": f"ä {i}", "extra": {"n": i, "list": [i, None]}} for i in range(1, 11)]


def write_file(file, rows):
    match file.suffix:
        case ".json":
            file.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        case ".jsonl":
            file.write_text("\n\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
        case ".csv":
            pd.DataFrame(rows).to_csv(file, index=False)
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)


def write_index(folder, **entries):
    (folder / "dataset_info.json").write_text(json.dumps(entries), encoding="utf-8")


def made_run(tmp_path):
    """The output folder of a run over the rows of two files, one of packed samples, that has trained on some."""
    for name in ("a", "b"):
        write_file(tmp_path / f"{name}.json", ROWS)
    write_index(tmp_path, a={"file_name": "a.json"}, b={"file_name": "b.json"})
    output = tmp_path / "out"
    journal = Journal(output / "dataflex", owner=True, report=lambda event, past: None)
    counts = {"steps": 3, "warmup_steps": 1, "update_steps": 1, "decisions": 2, "global_batch": 2, "ranks": 1}
    costs = {"judged": 15, "decision_cost": 1.0, "step_cost": 0.0, "seed": 0}
    journal.write(Start(run=journal.run, strategies=(), domains={"a": 10, "b": 5}, targets={}, **counts, **costs))
    for step, samples in enumerate([(0, 1), (2, 12), (12, 3)]):
        asked = {"proportions": None, "judged": 15, "shortages": (), "plan": "", "seconds": 0.0}
        journal.write(Decision(decision=step, step=step, until=step + 1, chosen={"a": 1, "b": 1}, **asked))
        journal.write(Step(step=step + 1, samples=samples))
    scores = ScoreFiles(output / "dataflex", run=lambda: journal.run, notice=print)
    scores.write(1, np.arange(15), np.arange(15, dtype=np.float32), np.array([2, 12]), step=1)
    scores.write(2, np.arange(15), -np.arange(15, dtype=np.float32), np.array([12, 3]), step=2)
    sources = tuple(Source(dataset=n, files=(str(tmp_path / f"{n}.json"),), size=10, count=len) for n in ("a", "b"))
    starts = np.array([*range(11), *range(12, 21, 2)])
    about = About(judge="", dataset_dir=str(tmp_path))
    domains = (Domain(name="a", start=0, size=10), Domain(name="b", start=10, size=5))
    origins = Origins(sources=sources, starts=starts, rows=np.arange(20))
    write_rows(rows_file(output / "dataflex", journal.run), about, domains, origins)
    return output
