"""``dataflex run``."""

from __future__ import annotations

from pathlib import Path

import click

from dataflex_cli.options import files, plugin_options, strategy_options
from dataflex_cli.request import Request
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.config import RunConfig, load_config
from dataflex_core.llamafactory.args import RESUME
from dataflex_core.llamafactory.environment import log_from
from dataflex_core.prepare import prepare
from dataflex_core.prepared import PreparedRun
from dataflex_core.spec import Kind

DEMO = Path("dataflex-demo")


@click.command("run")
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
def run(
    words: tuple[str, ...],
    selector: str | None,
    mixer: str | None,
    weighter: str | None,
    settings: tuple[str, ...],
    resume: bool,
    allowed: tuple[str, ...],
    nproc: int | None,
    dry_run: bool,
    debug: bool,
    plugins: Plugins,
) -> None:
    """Fine-tune with LLaMA-Factory, strategies deciding about the data.

    CONFIG is a LLaMA-Factory training YAML or JSON, with an optional section `dataflex:`; KEY=VALUE overrides one of
    its keys. Without CONFIG a small demo is written to ./dataflex-demo and trained, offline.
    """
    flags = {Kind.SELECTOR: selector, Kind.MIXER: mixer, Kind.WEIGHTER: weighter}
    request = Request.of(words, flags, settings)
    path, names, overrides = request.path, request.strategies, list(request.overrides)
    if path is None and names:
        # The demo's own selector is for a bare `dataflex run`; a strategy that is named stands alone.
        overrides = [*(f"dataflex.{kind}=null" for kind in Kind if kind not in names), *overrides]
    if resume:
        overrides = [*overrides, f"{RESUME}=true"]
    if allowed:
        overrides = [*overrides, f"dataflex.allow_changed=[{','.join(allowed)}]"]
    from dataflex_cli import console as show
    from dataflex_core.llamafactory.resume import resolved

    config = load_config(path or _demo(), overrides, strategies=names, settings=settings, notice=show.say)
    config = resolved(config, show.say)
    prepared = prepare(config, discover(plugins=plugins))
    show.header(prepared)
    if path is None or dry_run:
        # Hundreds of lines of configurations and token ids would bury the dozen that matter here.
        log_from("WARN")
    if dry_run:
        _outline(prepared, nproc, debug=debug)
    else:
        _train(config, prepared, plugins, nproc, debug=debug)


def _demo() -> Path:
    config = DEMO / "config.yaml"
    if not config.is_file():
        from dataflex_cli.demo.write import write_demo

        click.echo(f"Writing the demo to {DEMO}: text from Python's own documentation, a tokenizer and a small model")
        write_demo(DEMO)
    return config


def _outline(prepared: PreparedRun, nproc: int | None, *, debug: bool) -> None:
    from dataflex_cli import console as show
    from dataflex_cli.failures import one_line
    from dataflex_cli.launch import processes
    from dataflex_core.llamafactory.run import dry_run

    with one_line(debug=debug):
        show.show_plan(dry_run(prepared, ranks=processes(nproc, prepared.config.args).world))
    click.echo("Nothing was trained or written.")


def _train(config: RunConfig, prepared: PreparedRun, plugins: Plugins, nproc: int | None, *, debug: bool) -> None:
    from dataflex_cli.failures import one_line
    from dataflex_cli.launch import processes, torchrun
    from dataflex_cli.worker import train_here

    wanted = processes(nproc, config.args)
    if wanted.ray:
        from dataflex_cli.in_ray import train_in_ray

        with one_line(debug=debug):
            train_in_ray(config, wanted, plugins, debug=debug)
    elif wanted.torchrun:
        with one_line(debug=debug):
            torchrun(config, wanted, plugins, debug=debug)
    else:
        train_here(prepared, debug=debug)
