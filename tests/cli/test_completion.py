"""Shells complete the names of strategies, and wait for nothing heavy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from support import offering

SHELLS = ("bash", "zsh", "fish")
HEAVY = ("torch", "transformers", "numpy", "pydantic", "llamafactory", "omegaconf")


def _complete(*words, shell="bash", cwd=None):
    """What a shell is offered for the last word; also what was imported meanwhile."""
    code = (
        "import sys\nfrom dataflex_cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)"
    )
    asked = {"_DATAFLEX_COMPLETE": f"{shell}_complete", "COMP_WORDS": " ".join(["dataflex", *words])}
    asked["COMP_CWORD"] = words[-1] if shell == "fish" else str(len(words))
    env = {**os.environ, **asked}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "offered", "others"),
    [
        (("run", "--selector", "le"), {"less"}, {"loss", "temperature"}),
        (("run", "--mixer", ""), {"temperature", "static", "none"}, {"less"}),
        (("run", "my.yaml", "--weighter", ""), {"loss", "uniform"}, {"less", "static"}),
        (("describe", ""), {"less", "static", "uniform"}, set()),
        (("check", "le"), {"less"}, {"loss"}),
        (("describe", "--kind", "mixer", ""), {"static"}, {"less"}),
        (("li",), {"list-strategies"}, {"run"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_names_are_completed(shell, words, offered, others):
    told = set(_complete(*words, shell=shell).replace(",", "\n").replace("\t", "\n").split("\n"))
    assert offered <= told
    assert not others & told


def test_the_strategies_of_a_file_are_completed(tmp_path):
    (tmp_path / "mine.py").write_text(offering("mine"))
    assert "plain,mine" in _complete("run", "--plugin", "mine.py", "--selector", "m", cwd=tmp_path)
    assert "mine" not in _complete("run", "--plugin", "absent.py", "--selector", "m", cwd=tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell(shell):
    words = [sys.executable, "-m", "dataflex_cli", "completion", shell]
    script = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert f"_DATAFLEX_COMPLETE={shell}_complete" in script
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True)
