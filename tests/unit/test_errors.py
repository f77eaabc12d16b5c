"""errors.py: every error on purpose has a message, a remedy and an exit code."""

import inspect
import re

import pytest

from dataflex_core import errors
from dataflex_core.wording import did_you_mean

ERRORS = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.DataflexError)]
FAILED_RUNS = {errors.DataflexError, errors.StrategyFault, errors.RunFailed, errors.RanksDisagree}
STOPPED = {errors.Interrupted: 128 + 15}  # as a shell has it for SIGTERM


def test_every_error_is_found():
    assert len(ERRORS) >= 11


def tree(kind, depth=1):
    """The lines of the tree below ``kind``: depth, name and exit code, in the order of the classes."""
    yield depth, kind.__name__, kind.exit_code
    for sub in kind.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield from tree(sub, depth + 1)


def test_the_docstring_shows_the_tree():
    told = re.findall(r"^((?: {4})+)(\w+) +(\d+)$", errors.__doc__, re.MULTILINE)
    assert [(len(indent) // 4, name, int(code)) for indent, name, code in told] == list(tree(errors.DataflexError))


def test_the_module_holds_errors_only():
    made = {name for name, member in vars(errors).items() if getattr(member, "__module__", "") == errors.__name__}
    assert made == {kind.__name__ for kind in ERRORS}


@pytest.mark.parametrize("kind", ERRORS)
def test_exit_code_is_one_for_failed_runs_and_two_for_usage(kind):
    assert kind.exit_code == STOPPED.get(kind, 1 if kind in FAILED_RUNS else 2)
    assert issubclass(kind, errors.UsageError) == (kind.exit_code == 2)


@pytest.mark.parametrize("kind", ERRORS)
def test_text_is_the_message_and_the_hint(kind):
    plain, hinted = kind("it broke"), kind("it broke", hint="mend it")
    assert (str(plain), plain.message, plain.hint) == ("it broke", "it broke", None)
    assert (str(hinted), hinted.message, hinted.hint) == ("it broke (mend it)", "it broke", "mend it")


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("les", ["loss", "less", "random"], "did you mean 'less'?"),
        ("warmup", ["warmup_steps", "updates"], "did you mean 'warmup_steps'?"),
        ("zebra", ["random", "less", "less"], "known: less, random"),
        ("zebra", iter(["b", "a"]), "known: a, b"),
        ("less", [], "there are none"),
    ],
)
def test_did_you_mean(word, known, said):
    assert did_you_mean(word, known) == said
