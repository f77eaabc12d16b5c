"""The demo's data files, as LLaMA-Factory reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from dataflex_cli.demo.sample import Sample
from dataflex_cli.demo.texts import DemoTexts

TARGET, HELD_OUT = "target", "held_out"


def write_data(folder: Path, texts: DemoTexts) -> None:
    """One alpaca-format JSON file a data set, and the ``dataset_info.json`` that names them."""
    folder.mkdir()
    sets = {**texts.domains, TARGET: texts.target, HELD_OUT: texts.held_out}
    for name, samples in sets.items():
        write_json(folder / f"{name}.json", _rows(samples))
    write_json(folder / "dataset_info.json", {name: {"file_name": f"{name}.json"} for name in sets})


def _rows(samples: Iterable[Sample]) -> list[dict[str, str]]:
    return [{"instruction": sample.instruction, "input": "", "output": sample.output} for sample in samples]


def write_json(path: Path, value: object) -> None:
    """``value`` as indented JSON."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
