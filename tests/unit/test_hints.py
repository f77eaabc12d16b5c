"""Every error that the three packages raise on purpose says what to do about it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

from dataflex_core import errors
from dataflex_core.config.load import examine_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.planning.answers import mixture_of
from dataflex_core.requests import Mixture

ROOT = Path(__file__).parents[2]
SOURCES = sorted(ROOT.glob("dataflex-*/src/**/*.py"))
OURS = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.DataflexError)}
TOGETHER = {errors.ManyFaults.__name__}  # each fault of it has its own


def without_hint(source):
    """The lines on which an error of ours is made that names no remedy."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in OURS - TOGETHER:
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            hint = given.get("hint")
            if hint is None or (isinstance(hint, ast.Constant) and not hint.value):
                yield node.lineno


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("raise DataError('gone')", [1]),
        ("found = []\nfound.append(InvalidConfig('odd', key=['a']))", [2]),
        ("yield StrategyFault(text, hint=None)", [1]),
        ("raise RunFailed(text, hint='') from error", [1]),
        ("raise RunFailed(text, hint='again') from error", []),
        ("raise ManyFaults(text)", []),
        ("raise click.UsageError(text)", []),
        ("raise ValueError(text)", []),
    ],
)
def test_the_check_sees_an_error_without_a_hint(source, lines):
    assert list(without_hint(source)) == lines


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_error_is_made_with_a_hint(source):
    assert list(without_hint(source.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "word", "hint"),
    [
        ("rate: ${nowhere}", "seed=1", "give the key that ${...} names, or write the value itself"),
        ("rate: ${oc.env:DFX_NOT_SET}", "seed=1", "give the key that ${...} names, or write the value itself"),
        ("rate: ${oops", "seed=1", "give the key that ${...} names, or write the value itself"),
        ("note: learn: fast", "seed=1", "put text that holds a colon or # in quotes"),
        ("\trate: 1", "seed=1", "indent with spaces"),
        ("seed: 1", "rate={a", "KEY=VALUE in quotes for the shell"),
        ("rate: [1]", "rate.x=2", "write a value of the kind that stands there"),
        ("train_type: dynamic_select\nwarmup_step: many", "seed=1", "write each as DataFlex 1.x takes it"),
    ],
)
def test_a_configuration_that_cannot_be_read_says_how_to_write_it(text, word, hint, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(errors.InvalidConfig) as caught:
        examine_config(path, Overrides(words=(word,)))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (None, "one number for each of request.domains"),
        ([0.2, 0.3, 0.5], "one number for each of request.domains"),
        ([0.5, -1], "zero or more"),
        (Mixture(proportions=[1, 1], loss_weights=[1, 2]), "the needs of its StrategySpec"),
        (Mixture(proportions=[1, 1], notes={"a": float("nan")}), "a finite number"),
        (Mixture(proportions=[1, 1], notes={"a": 10**400}), "a finite number"),
        (Mixture(proportions=[1, 1], remarks="a line"), "give remarks as"),
        (Mixture(proportions=[1, 1], remarks=("two\nlines",)), "give remarks as"),
    ],
    ids=str,
)
def test_a_wrong_answer_says_what_to_answer(answer, hint):
    with pytest.raises(errors.StrategyFault) as caught:
        mixture_of(answer, frozenset(), 2)
    assert hint in caught.value.hint
