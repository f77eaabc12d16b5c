"""The ``dataflex`` command: a group whose sub-commands are imported when they are called."""

from __future__ import annotations

import importlib
import os
import sys
from contextlib import suppress

import click

from dataflex_cli.ctrl_c import CTRL_C, CtrlC, stopped
from dataflex_cli.failures import of_a_file
from dataflex_cli.streams import lines_are_ended, open_closed_streams, replace_what_encodings_lack
from dataflex_core import DataflexError, __version__
from dataflex_core.errors import ManyFaults, RunFailed
from dataflex_core.wording import first_line

_COMMANDS = {
    "run": ("dataflex_cli.commands.run:run", "Fine-tune, with strategies deciding about the data."),
    "train": ("dataflex_cli.commands.run:run", "The same as run."),
    "plan": ("dataflex_cli.commands.plan:plan", "Compare what decisions would cost with a few settings."),
    "report": (
        "dataflex_cli.commands.report:report",
        "Write a page about a run: what it decided, and whether it paid.",
    ),
    "compare": (
        "dataflex_cli.commands.compare:compare",
        "Show runs side by side, at equal steps and at equal work.",
    ),
    "score": ("dataflex_cli.commands.score:score", "Judge the whole pool without training, and write the scores."),
    "inspect": ("dataflex_cli.commands.inspect:inspect", "Show which samples a run chose, with their scores and rows."),
    "proportions": (
        "dataflex_cli.commands.proportions:proportions",
        "Print the proportions that a run's mixer came to, for a run that keeps to them.",
    ),
    "export": ("dataflex_cli.commands.export:export", "Write the rows that a run chose, or the best by their scores."),
    "migrate": ("dataflex_cli.commands.migrate:migrate", "Print a configuration of DataFlex 1.x in its new form."),
    "validate": ("dataflex_cli.commands.validate:validate", "Find every fault of a configuration, and its line."),
    "doctor": ("dataflex_cli.commands.doctor:doctor", "Check versions, GPUs, engines, locks and plugins."),
    "store": ("dataflex_cli.commands.store:store", "Show what stored answers of frozen models take, and free it."),
    "schema": ("dataflex_cli.commands.schema:schema", "Print JSON Schema, for editors to complete a configuration."),
    "list-strategies": ("dataflex_cli.commands.list_strategies:list_strategies", "List the installed strategies."),
    "describe": ("dataflex_cli.commands.describe:describe", "Show what a strategy does and its parameters."),
    "plugins": ("dataflex_cli.commands.plugins:plugins", "List, install and uninstall plugins."),
    "completion": ("dataflex_cli.commands.completion:completion", "Print what makes a shell complete names."),
    "check": ("dataflex_cli.commands.check:check", "Hold a strategy to what DataFlex promises of every strategy."),
    "init": ("dataflex_cli.commands.init:init", "Write a small configuration and data set to start from."),
    "new": ("dataflex_cli.commands.new:new", "Write a plugin with a strategy of your own."),
}


class _LazyGroup(click.Group):
    """Knows its commands by name and one line; imports the module of the one that is asked for, and no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dataflex")
def cli() -> None:
    """Fine-tune language models with LLaMA-Factory while the run decides about its data.

    A selector picks which samples, a mixer in what proportion of domains, a weighter with what weight in the loss.
    """


def main() -> None:
    """The ``dataflex`` script: run the command that the process's arguments name.

    A `DataflexError` ends the process with its exit code, and is printed as `show_error` does; click's own errors end
    it with 2, Ctrl-C with 130, whatever became of it in others' code. Anything else comes through with its traceback.
    No character that is printed raises, and a standard stream that is closed is no failure.
    """
    ctrl_c = CtrlC()
    open_closed_streams()
    replace_what_encodings_lack()
    try:
        with ctrl_c.watched():
            sys.exit(_called())
    except DataflexError as error:
        error = ctrl_c.instead_of(error)
        show_error(error)
        sys.exit(error.exit_code)
    except Exception as error:
        if not ctrl_c.asked:
            raise
        show_error(stopped(error))
        sys.exit(CTRL_C)
    except KeyboardInterrupt as error:
        show_error(stopped(error))
        sys.exit(CTRL_C)


def _called() -> int:
    """Call the command; the exit code.

    Raises what the command raises, `DataflexError` in place of `OSError`, and KeyboardInterrupt for Ctrl-C.
    """
    try:
        code = cli(prog_name="dataflex", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        raise error.__cause__ or KeyboardInterrupt from None
    except OSError as error:
        if error.filename is not None or not _is_of_output():
            raise of_a_file(error) from error
        raise RunFailed(f"the output could not be written: {first_line(error)}", hint="write it elsewhere") from error
    return code if isinstance(code, int) else 0


def _is_of_output() -> bool:
    """Whether it is standard output that cannot be written to; then it is closed, or Python would try once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False


def show_error(error: DataflexError) -> None:
    """Print to stderr a line what is wrong and, below it, a line what to do; of `ManyFaults` these for each."""
    if isinstance(error, ManyFaults):
        for fault in error.faults:
            show_error(fault)
        return
    with suppress(OSError, ValueError, AttributeError):  # what was printed before comes before it, in one file too
        sys.stdout.flush()
    with suppress(OSError, ValueError):  # whoever would have read it is gone
        click.echo(_words(error), err=True)  # in one write: other processes may print meanwhile


def _words(error: DataflexError) -> str:
    lines = [click.style("Error: ", fg="red", bold=True) + error.message]
    if error.hint is not None:
        lines.append(f"       {error.hint}")
    if not lines_are_ended():
        lines.insert(0, "")  # a bar is up, and may be in a file
    return "\n".join(lines)
