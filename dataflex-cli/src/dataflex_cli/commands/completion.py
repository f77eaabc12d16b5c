"""``dataflex completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes SHELL complete commands, options and the names of installed strategies.

    \b
    bash:  eval "$(dataflex completion bash)"   in ~/.bashrc
    zsh:   eval "$(dataflex completion zsh)"    in ~/.zshrc, after compinit
    fish:  dataflex completion fish | source    in ~/.config/fish/config.fish
    """
    from dataflex_cli.main import cli

    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(cli, {}, "dataflex", "_DATAFLEX_COMPLETE").source())
