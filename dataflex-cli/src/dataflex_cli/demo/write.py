"""Write the demo to a folder."""

from __future__ import annotations

from pathlib import Path

from dataflex_cli.demo.config import config_text
from dataflex_cli.demo.files import HELD_OUT, TARGET, write_data
from dataflex_cli.demo.model import write_model
from dataflex_cli.demo.texts import collect_texts
from dataflex_cli.folders import new_folder


def write_demo(folder: Path, *, seed: int = 0) -> Path:
    """Write the demo to ``folder``, which is new or empty, all of it or nothing; returns its ``config.yaml``.

    ``seed`` decides the model's random weights and the training seed; the data are those of this Python in any case.
    Raises `InvalidConfig` where ``folder`` holds something already or cannot be written.
    """
    folder = folder.absolute()
    with new_folder(folder) as built:
        _fill(built, final=folder, seed=seed)
    return folder / "config.yaml"


def _fill(folder: Path, *, final: Path, seed: int) -> None:
    """Everything into ``folder``, with a configuration that holds once it is renamed to ``final``."""
    texts = collect_texts()
    write_data(folder / "data", texts)
    write_model(folder / "model", (f"{s.instruction}\n{s.output}" for s in texts.everything()), seed=seed)
    yaml = config_text(final, domains=texts.domains, target=TARGET, held_out=HELD_OUT, seed=seed)
    (folder / "config.yaml").write_text(yaml, encoding="utf-8")
