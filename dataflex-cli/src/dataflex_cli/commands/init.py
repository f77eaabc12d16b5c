"""``dataflex init``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

SEED = click.IntRange(0, 2**32 - 1)
"""Seeds that numpy and LLaMA-Factory take."""


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the model's random weights.")
def init(directory: Path, seed: int) -> None:
    """Write the demo's configuration, data and model to DIRECTORY, to start from."""
    from dataflex_cli.demo.write import write_demo

    config = write_demo(directory, seed=seed)
    click.echo(f"Wrote {config}")
    click.echo(f"Train with it:  dataflex run {shlex.quote(str(config))}")
