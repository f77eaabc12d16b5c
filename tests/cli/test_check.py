"""`dataflex check` runs the conformance kit on a file or a name, as a shell sees it."""

from __future__ import annotations

import json

import pytest

from dataflex_cli.main import main
from dataflex_core.testing import all_checks

MINE = """
import numpy as np
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from dataflex_core import Kind, Mixer, StrategySpec, hookimpl
from typing_extensions import Doc

DATAFLEX_API = 2


@hookimpl
def dataflex_strategies():
    for name in ("even", "uneven"):
        yield StrategySpec(
            kind=Kind.MIXER,
            name=name,
            target=f"{__name__}:{name.title()}",
            params=f"{__name__}:Params",
            summary="mixes",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Params:
    floor: Annotated[float, Interval(ge=0, le=1), Doc("added to all")] = 0.5


class Even(Mixer[Params]):
    "The same for all."

    def mix(self, request):
        print("a word")
        return np.ones(len(request.domains))


class Uneven(Mixer[Params]):
    "All but the first."

    def mix(self, request):
        shares = np.full(len(request.domains), self.params.floor)
        shares[1:] = 1.0
        return shares
"""


@pytest.fixture
def dataflex(monkeypatch, capsys, tmp_path):
    """Run the command as a shell would, below a folder with a plugin file; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words, file=None):
        if file is not None:
            (tmp_path / file).write_text(MINE)
        monkeypatch.setattr("sys.argv", ["dataflex", *words])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return call


def test_the_strategies_of_a_file_are_checked_a_line_for_each_check(dataflex):
    code, out, _ = dataflex("check", "./chk_all.py", file="chk_all.py")
    lines = out.splitlines()
    assert code == 0, out
    assert [line.split()[:2] for line in lines if line.startswith("mixer ")] == [["mixer", "even"], ["mixer", "uneven"]]
    checks = [line.split() for line in lines if line.startswith("✓")]
    assert [name for _, name in checks] == 2 * list(all_checks("mixer"))
    assert "a word" not in out


def test_what_fails_is_told_with_its_reason_and_ends_with_one(dataflex):
    words = ("check", "chk_zero.py", "--name", "uneven", "--set", "mixer.floor=0", "--json")
    code, out, _ = dataflex(*words, file="chk_zero.py")
    told = json.loads(out)
    assert (code, told["ok"]) == (1, False)
    (strategy,) = told["strategies"]
    reasons = {made["check"]: made["reason"] for made in strategy["checks"] if not made["ok"]}
    assert set(reasons) >= {"one_domain", "proportions_fit"}
    assert "zero" in reasons["one_domain"]
    assert all(made["promise"].endswith(".") for made in strategy["checks"])


def test_an_installed_strategy_and_one_check(dataflex):
    code, out, _ = dataflex("check", "static", "--set", "proportions=[2,1,1]", "--only", "inputs_are_untouched")
    assert code == 0
    assert "1 checks passed" not in out
    assert "mixer static" in out
    assert out.count("✓") == 1


def test_what_a_strategy_cannot_do_without_is_asked_for_once(dataflex):
    code, out, _ = dataflex("check", "static", "--only", "ranks_agree")
    assert code == 1
    assert out.count("✗") == 1
    assert "neither is given (set mixer.proportions by domain" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lass"], "no strategy is called 'lass'"),
        (["less", "--only", "ranks_agre"], "there is no check 'ranks_agre'"),
        (["less", "--only", "weights_fit"], "there is no check 'weights_fit'"),
        (["static", "--set", "proportion=[1]"], "no parameter 'proportion'"),
        (["static", "--set", "weighter.proportions=[1]"], "no parameter 'proportions'"),
        (["less", "--set", "gradient"], "is not understood"),
        (["temperature", "--set", "temperature=-1"], "temperature=-1"),
        (["less", "--name", "less"], "--name is for a file"),
        (["absent.py"], "does not exist"),
    ],
)
def test_what_cannot_be_is_refused(dataflex, words, said):
    code, out, err = dataflex("check", *words)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[0]
