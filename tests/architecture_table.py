"""``python -m architecture_table``: measure each family of models, and write the table in docs/signals.md."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "signals.md"
BEGIN, END = "<!-- architectures -->", "<!-- end of architectures -->"
WAYS = {
    "lora": "LoRA",
    "full": "all",
    "lora, pictures too": "LoRA, towers too",
    "full, pictures too": "all, towers too",
}
BOUNDED, BOUND = 8, 1.3
"""How many families of text, from the first, are measured; what a score may cost, in training steps."""

_HEAD = "| family | trained | slow | a score, in training steps |\n|---|---|---|---|\n"
_WIDE = {
    "vocab_size": 2048,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 2,
    "max_position_embeddings": 512,
}
_WIDE_SETTINGS = {"n_embd": 256, "n_layer": 2, "n_positions": 512, "head_dim": 64, "moe_intermediate_size": 352}
_SAMPLES, _BATCH, _LONGEST = 8, 4, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is known of a family as it is trained: its slow parameters, and what a score costs where it is measured."""

    family: str
    trained: str
    slow: tuple[str, ...]
    ratio: float | None = None

    def __str__(self) -> str:
        slow = ", ".join(f"`{name}`" for name in self.slow) or "none"
        return f"| {self.family} | {self.trained} | {slow} | {'' if self.ratio is None else f'{self.ratio:.2f}'} |"

    @classmethod
    def of(cls, line: str) -> Row:
        """The row that a line of the table shows."""
        family, trained, slow, ratio = (cell.strip() for cell in line.strip().strip("|").split("|"))
        names = () if slow == "none" else tuple(name.strip("`") for name in slow.split(", "))
        return cls(family=family, trained=trained, slow=names, ratio=float(ratio) if ratio else None)


def read(text: str) -> list[Row]:
    """The rows of the table that is in a page."""
    inside = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    return [Row.of(line) for line in inside[2:]]


def written(text: str, rows: list[Row]) -> str:
    """The page with another table."""
    before, _, rest = text.partition(BEGIN)
    lines = "".join(f"{row}\n" for row in rows)
    return f"{before}{BEGIN}\n{_HEAD}{lines}{END}{rest.partition(END)[2]}"


def slow_parameters(model: Any, batch: Any) -> tuple[str, ...]:
    """The parameters that hooks do not reach, those of all layers as one; or the reason, where no one is to blame."""
    from dataflex_core.scoring.gradients import Gradients

    gradients = Gradients(model.eval(), lambda text: None)
    gradients.of(batch)
    found = (name or reason for name, reason in gradients.beyond.items())
    return tuple(dict.fromkeys(re.sub(r"\.\d+\.", ".*.", name) for name in found))


def text_rows() -> Iterator[Row]:
    """Of each family of text, trained either way."""
    from architectures import TEXT, batch_of
    from architectures import WAYS as HOW
    from signal_support import make_samples

    for family in TEXT.values():
        for way, trains in HOW.items():
            slow = slow_parameters(trains(family.build()), batch_of(make_samples(5, 3)))
            yield Row(family=family.title, trained=WAYS[way], slow=slow)


def vision_rows() -> Iterator[Row]:
    """Of each family with pictures, trained in every way."""
    from architectures import batch_of
    from vision import VISION, build_image_data
    from vision import WAYS as HOW

    with tempfile.TemporaryDirectory() as folder:
        data = build_image_data(Path(folder) / "data")
        for name, family in VISION.items():
            loaded = family.load(family.build(Path(folder) / name), data)
            for way, changes in HOW.items():
                model = loaded.model(**changes)
                slow = slow_parameters(model, batch_of(loaded.rows["counts"], loaded.collate(model)))
                yield Row(family=family.title, trained=WAYS[way], slow=slow)


def ratio(family: Any, way: str, *, repeats: int) -> float:
    """Seconds of scores by seconds of training steps, the median over repeats; of a wider model."""
    import numpy as np
    import torch
    from architectures import WAYS as HOW
    from architectures import collate
    from benchmarks.clock import alternate
    from benchmarks.ours import make_signals
    from benchmarks.plain import loader, train_steps

    from dataflex_core.scoring.batching import lengths_of, pack

    settings = {key: value for key, value in _WIDE_SETTINGS.items() if key in family.settings}
    model = HOW[way](family.build(**_WIDE, **settings))
    pool = _samples(_SAMPLES)
    ids, device = np.arange(len(pool)), torch.device("cpu")
    batches = [batch.tolist() for batch in pack(ids, lengths_of(pool), _BATCH * _LONGEST)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    train_steps(model, optimizer, loader(pool, batches, collate), device)
    signals = make_signals(
        model,
        optimizer,
        pool,
        {"held": pool[:2]},
        token_budget=_BATCH * _LONGEST,
        seed=0,
        collate=collate,
        notice=lambda text: None,
    )
    ours, plain = alternate(
        lambda: signals.influence(ids),
        lambda: train_steps(model, optimizer, loader(pool, batches, collate), device),
        device=device,
        repeats=repeats,
    )
    return median(a / b for a, b in zip(ours, plain, strict=True))


def _samples(count: int) -> list[dict[str, list[int]]]:
    """Samples of up to `_LONGEST` tokens, of which the later half are targets."""
    import random

    rng = random.Random(0)
    rows = []
    for _ in range(count):
        ids = [rng.randrange(4, _WIDE["vocab_size"]) for _ in range(rng.randint(_LONGEST // 2, _LONGEST))]
        half = len(ids) // 2
        rows.append({"input_ids": ids, "labels": [-100] * half + ids[half:], "attention_mask": [1] * len(ids)})
    return rows


def main() -> int:
    """Write the page; 1 where a score costs more than it may."""
    from dataclasses import replace

    from architectures import TEXT

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    first = {family.title: family for family in list(TEXT.values())[:BOUNDED]}
    ways = {told: way for way, told in WAYS.items()}
    rows = []
    for row in text_rows():
        measured = row.family in first
        found = ratio(first[row.family], ways[row.trained], repeats=repeats) if measured else None
        rows.append(replace(row, ratio=found))
        print(rows[-1], file=sys.stderr, flush=True)
    rows.extend(vision_rows())
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    over = [row for row in rows if (row.ratio or 0) > BOUND]
    for row in over:
        print(f"over {BOUND}: {row}", file=sys.stderr)
    return int(bool(over))


if __name__ == "__main__":
    raise SystemExit(main())
