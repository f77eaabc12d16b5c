"""A test that trains, or compares floats, fails unless it is marked numeric; every other one is left alone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

CONFTEST = """
from pathlib import Path
from numeric import Numeric

def pytest_configure(config):
    config.addinivalue_line("markers", "numeric: as ours")
    config.pluginmanager.register(Numeric(Path(__file__).parent))
"""
HELP = """
import pytest

def close(a, b):
    return a == pytest.approx(b)

class Closeness:
    def check(self, a, b):
        assert close(a, b)
"""
TRAIN = "import torch; w = torch.zeros(1, requires_grad=True); w.sum().backward(); torch.optim.SGD([w], 0.1).step()"
EXAMPLES = f"""
import math, os, subprocess, sys
import pytest
from help import Closeness

TRAIN = {TRAIN!r}

def train(*command, **kwargs):
    subprocess.run([sys.executable, "-c", TRAIN], check=True, **kwargs)

@pytest.fixture
def exact():
    return math.isclose

@pytest.fixture(scope="module")
def trained():
    train()

def test_compares(): assert 1 == pytest.approx(1)
def test_compares_by_a_helper_of_another_module(): Closeness().check(1, 1)
def test_compares_by_a_fixture(exact): assert exact(1, 1)
@pytest.mark.parametrize("n", [1])
def test_compares_for_a_parameter(n): assert n == pytest.approx(1)
class TestIt:
    def test_compares_in_a_class(self): assert 1 == pytest.approx(1)
def test_trains_in_another_process(): train()
def test_trains_in_one_with_variables_of_its_own(): train(env={{**os.environ, "X": "1"}})
def test_trains_in_a_fork():
    pid = os.fork()
    if not pid:
        exec(TRAIN)
        os._exit(0)
    os.waitpid(pid, 0)
def test_is_given_what_was_trained(trained): pass
def test_is_given_it_later(trained): pass
def test_trains_here(): exec(TRAIN)

@pytest.mark.numeric
def test_may_compare(): assert 1 == pytest.approx(1)
@pytest.mark.numeric
def test_may_train(trained): exec(TRAIN)
def test_compares_whole_numbers(): assert sorted([2, 1]) == [1, 2]
def test_uses_torch_without_training(): assert __import__("torch").ones(1).sum().item() == 1
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What a run of the examples says of each that fails, by its name, and how many pass."""
    folder = tmp_path_factory.mktemp("examples")
    for name, text in (("conftest", CONFTEST), ("help", HELP), ("test_examples", EXAMPLES)):
        (folder / f"{name}.py").write_text(text)
    (folder / "pytest.ini").write_text("[pytest]\n")
    path = os.pathsep.join([str(TESTS), str(folder), os.environ["PYTHONPATH"]])
    env = {**os.environ, "PYTHONPATH": path, "COLUMNS": "300"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", str(folder)]
    said = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=600, check=False).stdout
    failed = dict(re.findall(r"^(?:FAILED|ERROR) \S+::(\S+) - Failed: (.*)$", said, re.MULTILINE))
    passed = set(re.findall(r"^PASSED \S+::(\S+)$", said, re.MULTILINE))
    assert failed, said
    return failed, passed


@pytest.mark.parametrize(
    "name",
    [
        "test_compares",
        "test_compares_by_a_helper_of_another_module",
        "test_compares_by_a_fixture",
        "test_compares_for_a_parameter[1]",
        "test_compares_in_a_class",
    ],
)
def test_one_that_compares_floats_is_found(told, name):
    assert told[0][name].startswith("compares floats (")


@pytest.mark.parametrize(
    "name",
    [
        "test_trains_in_another_process",
        "test_trains_in_one_with_variables_of_its_own",
        "test_trains_in_a_fork",
        "test_is_given_what_was_trained",
        "test_is_given_it_later",
        "test_trains_here",
    ],
)
def test_one_that_trains_is_found(told, name):
    assert told[0][name] == "trains a model: mark it, or its module, as numeric"


@pytest.mark.parametrize(
    "name", ["test_may_compare", "test_may_train", "test_compares_whole_numbers", "test_uses_torch_without_training"]
)
def test_any_other_is_left_alone(told, name):
    failed, passed = told
    assert name in passed
    assert name not in failed
