"""``dataflex run``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dataflex_cli.options import Once, files, plugin_options, strategy_options, voice_options
from dataflex_cli.request import Request
from dataflex_cli.training import train
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.config.section import SECTION
from dataflex_core.llamafactory.environment import log_from
from dataflex_core.prepare import prepare
from dataflex_core.prepared import PreparedRun
from dataflex_core.spec import Kind

DEMO = Path("dataflex-demo")


@click.command("run", cls=Once)
@click.argument("words", nargs=-1, metavar="[CONFIG] [KEY=VALUE]...", shell_complete=files)
@strategy_options
@click.option(
    "--resume", is_flag=True, help="Go on from the newest complete checkpoint of output_dir, if there is one."
)
@click.option(
    "--allow-changed",
    "allowed",
    multiple=True,
    type=click.Choice(["strategies", "parameters", "schedule", "data"]),
    help="Go on although this differs from the run that wrote the checkpoint. Repeatable.",
)
@click.option("--nproc", type=click.IntRange(min=1), help="Processes on this machine. Default: one per device.")
@click.option("--dry-run", is_flag=True, help="Check everything and say what would happen; load no model.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@plugin_options
@voice_options
def run(
    words: tuple[str, ...],
    flags: Mapping[Kind, tuple[str, ...]],
    parameter_words: tuple[str, ...],
    resume: bool,
    allowed: tuple[str, ...],
    nproc: int | None,
    dry_run: bool,
    debug: bool,
    plugins: Plugins,
) -> None:
    """Fine-tune with LLaMA-Factory, strategies deciding about the data.

    CONFIG is a LLaMA-Factory training YAML or JSON, with an optional section `dataflex:`; KEY=VALUE overrides one of
    its keys. Without CONFIG a small demo is written to ./dataflex-demo and trained, offline; with --dry-run it is
    written to a folder that does not stay.
    """
    request = Request.of(words, flags, parameter_words)
    from dataflex_cli.console import warn
    from dataflex_cli.header import header
    from dataflex_core.llamafactory.resume import asked_to_resume, resolved

    with _demo(stays=not dry_run) if request.path is None else nullcontext(request.path) as path:
        config = load_config(path, _overrides(request, allowed=allowed), notice=warn)
        for remark in request.remarks():
            warn(str(remark))
        if resume:
            config = asked_to_resume(config)
        prepared = prepare(config, discover(plugins=plugins))
        prepared = replace(prepared, config=resolved(config, warn))
        header(prepared)
        if request.path is None or dry_run:
            # Hundreds of lines of configurations and token ids would bury the dozen that matter here.
            log_from("WARN")
        if dry_run:
            _outline(prepared, nproc, debug=debug)
        else:
            train(prepared, plugins, nproc, debug=debug)


def _overrides(request: Request, *, allowed: tuple[str, ...]) -> Overrides:
    """What the words and all options lay over the file."""
    values: dict[str, Any] = {f"{SECTION}.allow_changed": allowed} if allowed else {}
    strategies = request.overrides.strategies
    if request.path is None and request.overrides.named:
        # The demo's own selector is for a bare `dataflex run`; a strategy that is named stands alone.
        strategies = {**dict.fromkeys(Kind), **strategies}
    return replace(request.overrides, values=values, strategies=strategies)


@contextmanager
def _demo(*, stays: bool) -> Iterator[Path]:
    """The demo's configuration, written first where it is not there; unless it ``stays``, for the time of the block."""
    config = DEMO / "config.yaml"
    if config.is_file():
        yield config
        return
    from dataflex_cli.console import say
    from dataflex_cli.demo.write import write_demo

    where = DEMO if stays else "a temporary folder"
    said = f"Writing the demo to {where}: text from Python's own documentation, a tokenizer and a small model"
    say(said, plain=said)
    if stays:
        yield write_demo(DEMO)
        return
    with tempfile.TemporaryDirectory(prefix="dataflex-") as folder:
        yield write_demo(Path(folder) / DEMO)


def _outline(prepared: PreparedRun, nproc: int | None, *, debug: bool) -> None:
    from dataflex_cli.console import say, warn
    from dataflex_cli.failures import errors_in_one_line
    from dataflex_cli.header import show_plan
    from dataflex_cli.launch import processes
    from dataflex_core.llamafactory.run import dry_run
    from dataflex_core.llamafactory.unheard import remarks

    for remark in (*remarks(prepared.config), *prepared.remarks()):
        warn(str(remark))
    with errors_in_one_line(debug=debug):
        wanted = processes(nproc, prepared.config.args)
        show_plan(dry_run(prepared, ranks=wanted.world, launched=wanted.launched))
    said = "Nothing was trained or written."
    say(said, level="result", event="end", plain=said)
