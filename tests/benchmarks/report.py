"""What is left of a run: a table on the terminal and a JSON file."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.measure import Outcome

_PACKAGES = ("torch", "transformers", "peft", "llamafactory", "dataflex-core", "dataflex-strategies", "dataflex-cli")
_COLOUR = {"ok": "green", "missed": "bold red"}


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """1 when a measure misses its bound."""
    return int(any(outcome.verdict == "missed" for outcome in outcomes))


def show(outcomes: Sequence[Outcome], console: Console, *, title: str) -> None:
    """Print the table."""
    table = Table(title=title, title_justify="left", show_lines=True)
    for column in ("measure", "value", "must reach", "", "in absolute terms"):
        table.add_column(column, overflow="fold")
    for outcome in outcomes:
        found, measure = outcome.finding, outcome.measure
        value = f"{found.value:.3f}\n[dim]{min(found.repeats):.3f} … {max(found.repeats):.3f}"
        sides = "\n".join(str(part) for part in (*found.sides, *found.notes))
        verdict = f"[{_COLOUR[outcome.verdict]}]{outcome.verdict}"
        table.add_row(f"{measure.name}\n[dim]{measure.what}", value, str(measure.bound), verdict, sides)
    console.print(table)


def as_json(outcomes: Sequence[Outcome], *, model: str, device: str, command: Sequence[str]) -> dict[str, Any]:
    """Everything that was measured, and where."""
    import torch

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": list(command),
        "model": model,
        "device": device,
        "threads": {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"), "torch": torch.get_num_threads()},
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "measures": [_measure(outcome) for outcome in outcomes],
    }


def write(path: Path, content: dict[str, Any]) -> None:
    """All of the file or nothing."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def device_name(cuda: bool) -> str:
    """The GPU, or the processor."""
    if cuda:
        import torch

        return str(torch.cuda.get_device_name())
    described = Path("/proc/cpuinfo")
    lines = described.read_text(encoding="utf-8").splitlines() if described.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"CPU: {named[0] if named else platform.processor() or sys.platform}"


def _measure(outcome: Outcome) -> dict[str, Any]:
    measure, found = outcome.measure, outcome.finding
    sides = [
        {"label": side.label, "unit": side.unit, "median": side.middle, "each": side.values} for side in found.sides
    ]
    return {
        "name": measure.name,
        "what": measure.what,
        "threshold": {"at_most" if measure.bound.at_most else "at_least": measure.bound.value},
        "verdict": outcome.verdict,
        "seconds": round(outcome.seconds, 1),
        "value": found.value,
        "spread": {"lowest": min(found.repeats), "highest": max(found.repeats), "each": found.repeats},
        "sides": sides,
        "notes": found.notes,
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
