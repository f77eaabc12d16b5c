"""What was measured, in a JSON file that the page is written from."""

from __future__ import annotations

import datetime
import json
import tempfile
import tracemalloc
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.report import device_name, write

from dataflex_core.spec import Kind
from scaling.asked import Gathered, gathered
from scaling.assumed import BATCH, TARGET_TOKENS
from scaling.ranks import Setting, Spent, simulated
from scaling.stored import bytes_of
from scaling.strategies import variants

PATH = Path(__file__).parents[2] / "docs" / "scaling" / "results.json"
STORED = (1, TARGET_TOKENS)
_CROWD = {"pool": 10**6, "decisions": 2, "batch": BATCH, "steps": 10, "judged": 40 * BATCH}
_ALONE = {"decisions": 1, "batch": BATCH, "steps": 100}
SETTINGS = (
    *(Setting(ranks=ranks, **_CROWD) for ranks in (8, 64, 1024)),
    *(Setting(ranks=1, pool=pool, judged=pool, **_ALONE) for pool in (10**6, 10**7)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A simulation, and the bytes of memory that it held at the most, where it had one rank; else 0."""

    setting: Setting
    spent: Spent
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """``gathered`` by a selector's title, ``stored`` bytes a sample by how many numbers an answer has."""

    date: str
    device: str
    gathered: Mapping[str, Gathered]
    stored: Mapping[int, float]
    simulated: tuple[Simulated, ...]


def measured(tell: Callable[[str], None]) -> Results:
    """Everything, afresh; minutes."""
    runs = []
    for setting in SETTINGS:
        spent = simulated(setting)
        runs.append(Simulated(setting=setting, spent=spent, memory=_memory(setting) if setting.ranks == 1 else 0))
        tell(f"{setting}: {spent}")
    return Results(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        device=device_name(cuda=False),
        gathered=counted(),
        stored={values: _stored(values) for values in STORED},
        simulated=tuple(runs),
    )


def counted() -> dict[str, Gathered]:
    """What each selector has gathered; seconds."""
    return {variant.title: gathered(variant) for variant in variants(Kind.SELECTOR)}


def save(results: Results, path: Path = PATH) -> None:
    """All of the file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, asdict(results))


def load(path: Path = PATH) -> Results:
    """What `save` wrote."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    return Results(
        date=plain["date"],
        device=plain["device"],
        gathered={title: Gathered(**found) for title, found in plain["gathered"].items()},
        stored={int(values): size for values, size in plain["stored"].items()},
        simulated=tuple(
            Simulated(setting=Setting(**run["setting"]), spent=Spent(**run["spent"]), memory=run["memory"])
            for run in plain["simulated"]
        ),
    )


def _memory(setting: Setting) -> int:
    tracemalloc.start()
    try:
        simulated(setting)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _stored(values: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return bytes_of(values, Path(folder))
