"""What ``dataflex run`` does, called from Python."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataflex_cli.console import warn
from dataflex_cli.header import header
from dataflex_cli.options import chosen_plugins
from dataflex_cli.training import train as train_prepared
from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import InvalidConfig
from dataflex_core.journal import Run, open_run
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.resume import asked_to_resume, resolved
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean, first_line


def train(
    config: Path | str | Mapping[str, Any],
    overrides: Mapping[str, Any],
    strategies: Mapping[str, str | Sequence[str] | None],
    *,
    plugins: Sequence[str],
    resume: bool,
    nproc: int | None,
) -> Run | None:
    """As `dataflex_cli.run`."""
    asked = Overrides(values=overrides, strategies={_kind(kind): _names(names) for kind, names in strategies.items()})
    with _as_file(config) as path:
        loaded = load_config(path, asked, notice=warn)
    if resume:
        loaded = asked_to_resume(loaded)
    admitted = chosen_plugins(plugins, no_plugins=False)
    prepared = prepare(loaded, discover(plugins=admitted))
    prepared = replace(prepared, config=resolved(loaded, warn))
    header(prepared)
    train_prepared(prepared, admitted, nproc, debug=False)
    return open_run(RunArgs(written=prepared.config.args).output) if prepared.strategies else None


@contextmanager
def _as_file(config: Path | str | Mapping[str, Any]) -> Iterator[Path]:
    """A configuration's path; keys and values are written to one for the time of the block."""
    if not isinstance(config, Mapping):
        yield Path(config)
        return
    with tempfile.TemporaryDirectory(prefix="dataflex-") as folder:
        path = Path(folder) / "config.json"
        try:
            path.write_text(json.dumps(config, default=_plain), encoding="utf-8")
        except (TypeError, ValueError) as error:
            hint = "give text, numbers, true or false, None, and lists and mappings of these"
            raise InvalidConfig(f"the configuration is not of plain values: {first_line(error)}", hint=hint) from error
        yield path


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}")


def _kind(name: str) -> Kind:
    if name not in set(Kind):
        raise InvalidConfig(f"there is no kind of strategy {name!r}", hint=did_you_mean(name, Kind))
    return Kind(name)


def _names(given: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    return given if given is None or isinstance(given, str) else tuple(given)
