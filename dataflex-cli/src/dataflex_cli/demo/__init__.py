"""The embedded demo: a model, data and a configuration that train offline on two CPU cores."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from dataflex_core.errors import InvalidConfig


def write_demo(folder: Path, *, seed: int = 0) -> Path:
    """Write the demo to ``folder``, which is new or empty, all of it or nothing; returns its ``config.yaml``.

    ``seed`` decides the model's random weights and the training seed; the data are those of this Python in any case.
    Raises `InvalidConfig` where ``folder`` holds something already or cannot be written.
    """
    folder = folder.absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidConfig(f"{folder} exists and is not an empty folder", hint="name a new one, or remove it first")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            built = Path(scratch) / folder.name
            built.mkdir()
            _fill(built, final=folder, seed=seed)
            if folder.exists():
                folder.rmdir()
            shutil.move(built, folder)
    except OSError as error:
        raise InvalidConfig(f"{folder} cannot be written: {error}", hint="name another folder") from error
    return folder / "config.yaml"


def _fill(folder: Path, *, final: Path, seed: int) -> None:
    """Everything into ``folder``, with a configuration that holds once it is renamed to ``final``."""
    from dataflex_cli.demo.config import config_text
    from dataflex_cli.demo.files import TARGET, write_data
    from dataflex_cli.demo.model import write_model
    from dataflex_cli.demo.texts import collect_texts

    texts = collect_texts()
    write_data(folder / "data", texts)
    write_model(folder / "model", (f"{s.instruction}\n{s.output}" for s in texts.everything()), seed=seed)
    yaml = config_text(final, domains=texts.domains, target=TARGET, seed=seed)
    (folder / "config.yaml").write_text(yaml, encoding="utf-8")
