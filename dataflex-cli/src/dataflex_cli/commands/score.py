"""``dataflex score``."""

from __future__ import annotations

from pathlib import Path

import click

from dataflex_cli.options import Once, files, plugin_options, strategy_names, voice_options
from dataflex_cli.request import Request
from dataflex_cli.streams import others_write
from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.load import load_config
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed
from dataflex_core.handover import Handover
from dataflex_core.judging import SIGNALS, Judging
from dataflex_core.places import barrier
from dataflex_core.prepared import PreparedRun
from dataflex_core.spec import Kind


@click.command("score", cls=Once)
@click.argument("words", nargs=-1, metavar="CONFIG [KEY=VALUE]...", shell_complete=files)
@click.option(
    "--selector",
    metavar="NAME",
    help="Judge as this selector does. Default: the configuration's.",
    shell_complete=strategy_names(Kind.SELECTOR),
)
@click.option("--signal", type=click.Choice(SIGNALS), help="Instead: give each sample this.")
@click.option(
    "--set", "parameter_words", multiple=True, metavar="selector.PARAM=VALUE", help="A parameter. Repeatable."
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="A checkpoint of a run with this configuration, to judge with. Repeatable: scores are averaged.",
)
@click.option(
    "-o", "--output", "out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A Parquet file."
)
@click.option("--nproc", type=click.IntRange(min=1), help="Processes on this machine. Default: one per device.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@plugin_options
@voice_options
def score(
    words: tuple[str, ...],
    selector: str | None,
    signal: str | None,
    parameter_words: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    out: Path,
    nproc: int | None,
    debug: bool,
    plugins: Plugins,
) -> None:
    """Judge every sample of the pool without training, and write what each is worth to FILE.

    CONFIG is that of a run: the same data, model and signals are prepared. Without --checkpoint the model that it names
    judges. Several checkpoints are weighed by their learning rates. A command that was cut short goes on when it is
    given once more.
    """
    from dataflex_cli.console import say, warn
    from dataflex_core.llamafactory.environment import log_from
    from dataflex_core.prepare_judging import prepare_judging

    if selector is not None and signal is not None:
        raise InvalidConfig("--selector and --signal exclude each other", hint="leave one out")
    request = Request.of(words, {} if selector is None else {Kind.SELECTOR: (selector,)}, parameter_words)
    if request.path is None:
        raise InvalidConfig("no configuration is named", hint="write dataflex score CONFIG …")
    judging = Judging(out=str(out), checkpoints=tuple(map(str, checkpoints)), signal=signal)
    if (wrong := barrier(str(out), folder=False)) is not None:
        raise InvalidConfig(f"-o {out} {wrong}", hint="name a file that can be written, as scores.parquet")
    if out.exists() and not _has_scores(out):
        raise InvalidConfig(f"-o {out} is there, and no file of scores", hint="name another file, or remove it")
    judging.check_work()
    config = load_config(request.path, request.overrides, notice=warn)
    from dataflex_core.llamafactory.judging import for_judging, judges_of

    judges_of(judging)
    prepared = prepare_judging(for_judging(config, judging), judging, discover(plugins=plugins))
    log_from("WARN")
    judging.begin_work()
    _judge(prepared, plugins, judging, nproc, debug=debug)
    say(f"written: {out}", level="result", event="end", fields={"out": str(out)})


def _has_scores(path: Path) -> bool:
    """Whether it may be replaced: it was written by this command."""
    from dataflex_core.score_file import open_scores

    try:
        return open_scores(path).about is not None
    except DataError:
        return False


def _judge(prepared: PreparedRun, plugins: Plugins, judging: Judging, nproc: int | None, *, debug: bool) -> None:
    from dataflex_cli.failures import errors_in_one_line
    from dataflex_cli.launch import processes, torchrun
    from dataflex_cli.worker import judge_here

    wanted = processes(nproc, prepared.config.args)
    if wanted.ray:
        raise UnmetNeed("dataflex score does not run in Ray workers", hint="set use_ray: false, and --nproc")
    if wanted.torchrun:
        others_write()
        with errors_in_one_line(debug=debug):
            torchrun(Handover.of(prepared, plugins, judging), wanted, debug=debug)
    else:
        judge_here(prepared, judging, debug=debug)
