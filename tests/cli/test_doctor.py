"""`dataflex doctor`: each check is fed what it must find, and the whole is run once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from dataflex_cli import doctor
from dataflex_cli.doctor import installed, machine
from dataflex_cli.doctor.bytecode import bytecode_check
from dataflex_cli.doctor.check import Check, State
from dataflex_cli.doctor.installed import Environment
from dataflex_cli.doctor.locks import extensions_folder, lock_checks
from dataflex_cli.doctor.machine import machine_checks
from dataflex_cli.doctor.pairs import PAIRS, pair_checks
from dataflex_cli.doctor.plugins import plugin_checks
from dataflex_cli.doctor.versions import SHOWN, version_checks
from dataflex_cli.main import cli
from dataflex_core.catalog import Catalog, Fault, Record
from dataflex_core.spec import Kind, StrategySpec

INSTALLED = {
    "dataflex-core": "2.0.0",
    "llamafactory": "0.9.5",
    "torch": "2.11.0",
    "torchaudio": "2.11.0",
    "transformers": "5.6.0",
    "accelerate": "1.11.0",
    "peft": "0.18.1",
    "trl": "0.20",
}
REQUIRED = {
    "dataflex-core": [
        "torch>=2.4,<2.12",
        "llamafactory==0.9.5",
        "transformers>=4.55",
        "deepspeed<=0.19.8; extra == 'deepspeed'",
    ],
    "llamafactory": [
        "torch>=2.4",
        "transformers<=5.6.0",
        "accelerate",
        "peft",
        "trl<=0.24",
        "vllm<1; extra == 'vllm'",
    ],
}


def _environment(changes=None, requires=None, pythons=None):
    installed = {**INSTALLED, **(changes or {})}
    return Environment(
        versions={name: version for name, version in installed.items() if version},
        requires={**REQUIRED, **(requires or {})},
        pythons={"dataflex-core": ">=3.11,<3.14", **(pythons or {})},
        python="3.13.0",
    )


def _versions(environment):
    return {check.name: check for check in (*version_checks(environment), *pair_checks(environment))}


def _wrong(environment):
    return {check.name: check for check in _versions(environment).values() if check.state is not State.OK}


def test_versions_that_go_together():
    found = _versions(_environment())
    assert list(found) == [*SHOWN, "torchaudio"]
    assert {check.state for check in found.values()} == {State.OK}


@pytest.mark.parametrize(
    ("changes", "name", "said"),
    [
        ({"torch": "2.12.1", "torchaudio": "2.12.0"}, "torch", "dataflex-core allows <2.12,>=2.4"),
        ({"transformers": "5.7"}, "transformers", "llamafactory allows <=5.6.0"),
        ({"llamafactory": "0.9.4"}, "llamafactory", "dataflex-core allows ==0.9.5"),
        ({"deepspeed": "0.20"}, "deepspeed", "dataflex-core allows <=0.19.8"),
        ({"trl": "0.25"}, "trl", "llamafactory allows <=0.24"),
        ({"peft": None}, "peft", "not installed; llamafactory needs it"),
        ({"torchaudio": "2.10.0"}, "torchaudio", "is not built for torch 2.11.0"),
        ({"torchvision": "0.25.0"}, "torchvision", "is not built for torch 2.11.0"),
        ({"torch": "2.11.0+cpu", "torchaudio": "2.11.0+cu128"}, "torchaudio", "builds that do not go together"),
    ],
    ids=str,
)
def test_versions_that_do_not(changes, name, said):
    found = _wrong(_environment(changes))
    assert list(found) == [name]
    assert found[name].state is State.PROBLEM
    assert said in found[name].detail
    assert "pip install" in found[name].remedy


@pytest.mark.parametrize("torch", ["2.11.0+cu130", "2.11.0a0+b558c98.nv26.1"])
def test_a_torch_built_elsewhere_goes_with_a_torchaudio_that_does_not_say(torch):
    assert not _wrong(_environment({"torch": torch}))


@pytest.mark.parametrize(
    ("versions", "requires", "name", "said", "remedy"),
    [
        pytest.param(
            {"pandas": "3.0", "numpy": "1.26.4"},
            {"llamafactory": ["pandas", "numpy>=1.20,<9"], "pandas": ["numpy>=2,<3"]},
            "numpy",
            "1.26.4, and pandas allows <3,>=2",
            "pip install 'numpy<3,>=2'",
            id="of what is asked for",
        ),
        pytest.param(
            {"fsspec": "2025.3"},
            {"llamafactory": ["fsspec[http]"], "fsspec": ["aiohttp!=4; extra == 'http'", "sshfs; extra == 'ssh'"]},
            "aiohttp",
            "not installed; fsspec needs it",
            "pip install 'aiohttp!=4'",
            id="of an extra that is asked for",
        ),
        pytest.param(
            {"a": "1", "b": "1", "numpy": "1.26"},
            {"llamafactory": ["a", "B"], "a": ["NumPy<2"], "b": ["numpy>=2", "z; python_version < '3'"]},
            "numpy",
            "1.26, and b allows >=2",
            "no numpy fits them all: pip install --upgrade a b",
            id="that disagree",
        ),
        pytest.param(
            {"torch": "2.12.1", "torchaudio": "2.12.0", "torchvision": "0.27.1"},
            {"llamafactory": ["torchvision<0.27"], "torchvision": ["torch==2.12.1"]},
            "torch",
            "2.12.1, and dataflex-core allows <2.12,>=2.4",
            "pip install 'torch<2.12,>=2.4'",
            id="that one holds who does not fit either",
        ),
    ],
)
def test_requirements_of_anybody(versions, requires, name, said, remedy):
    found = _wrong(_environment(versions, requires))[name]
    assert (found.state, found.detail, found.remedy) == (State.PROBLEM, said, remedy)


def test_what_follows_from_another_is_not_named():
    requires = {"dataflex-core": ["torch>=2.4", "torchaudio>=2.6"], "torchaudio": ["torch==2.4.0"]}
    assert list(_wrong(_environment({"torchaudio": "2.4.0", "torch": "2.6.0"}, requires))) == ["torchaudio"]


def test_two_that_ask_for_another_of_each_other_are_both_named():
    requires = {"llamafactory": ["a", "b"], "a": ["b>=2"], "b": ["a>=2"]}
    assert list(_wrong(_environment({"a": "1", "b": "1"}, requires))) == ["a", "b"]


def test_what_training_does_not_import_is_a_warning():
    found = _wrong(_environment({"notebook": "7", "numpy": "2.4"}, {"notebook": ["numpy<2"]}))
    assert [(check.name, check.state) for check in found.values()] == [("numpy", State.WARNING)]


def test_metadata_that_cannot_be_read_is_passed_over():
    odd = {"odd": ["numpy (>=1.0", "torch>=nightly"], "llamafactory": ["home-made>1"]}
    assert not _wrong(_environment({"odd": "1", "home-made": "local"}, odd, {"odd": "3-ish"}))


def test_a_python_that_is_not_allowed():
    found = _wrong(_environment(pythons={"llamafactory": "<3.13"}))
    assert found["python"].detail == "3.13.0, and llamafactory allows <3.13"
    assert found["python"].remedy == "install into a virtual environment with Python <3.14,>=3.11"


PAIRED = [
    {"numpy": "1.26.4", "pyarrow": "26.0.1"},
    {"accelerate": "1.10.0", "transformers": "4.57.1"},
    {"deepspeed": "0.14.2", "torch": "2.11.0"},
    {"torch": "2.5.1", "torchaudio": "2.5.1", "transformers": "5.6.0"},
]


@pytest.mark.parametrize(("versions", "pair"), list(zip(PAIRED, PAIRS, strict=True)), ids=str)
def test_pairs_of_which_metadata_says_nothing(versions, pair):
    found = _wrong(_environment(versions))
    assert list(found) == [pair.name]
    assert found[pair.name].state is State.PROBLEM
    assert pair.why in found[pair.name].detail
    assert pair.remedy in found[pair.name].remedy


WELL = {"cuda": "13.0", "devices": [], "gloo": True, "nccl": True, "imports": {}, "driver": []}


@pytest.mark.parametrize(
    ("changes", "name", "state", "said"),
    [
        ({}, "GPUs", State.OK, "none: training runs on the CPU"),
        ({"devices": ["H200", "H200"], "driver": ["H200, 575"]}, "GPUs", State.OK, "2: H200"),
        ({"driver": ["H200, 575"]}, "GPUs", State.PROBLEM, "torch, built for CUDA 13.0, sees none"),
        ({"driver": ["H200, 575"], "cuda": None}, "GPUs", State.PROBLEM, "built for the CPU alone"),
        ({"gloo": False}, "gloo", State.WARNING, "not in this torch"),
        ({"nccl": False}, "nccl", State.OK, "not in this torch"),
        ({"nccl": False, "devices": ["H200"]}, "nccl", State.WARNING, "not in this torch"),
        ({"deepspeed_error": None}, "deepspeed import", State.OK, "imports"),
        ({"deepspeed_error": "ImportError: no"}, "deepspeed import", State.PROBLEM, "ImportError: no"),
        ({"imports": {"torchvision": "RuntimeError: nms"}}, "torchvision import", State.PROBLEM, "nms"),
        ({"error": "OSError: libcudart"}, "torch import", State.PROBLEM, "libcudart"),
    ],
    ids=str,
)
def test_gpus_and_engines(changes, name, state, said):
    found = {check.name: check for check in machine_checks({**WELL, **changes})}
    assert found[name].state is state
    assert said in found[name].detail
    assert bool(found[name].remedy) is (state is not State.OK)


@pytest.mark.parametrize("below", ["fused_adam", "py311_cu130/fused_adam"])
@pytest.mark.parametrize(("minutes", "state"), [(30, State.PROBLEM), (1, State.OK)])
def test_a_lock_that_nobody_holds(tmp_path, below, minutes, state):
    lock = tmp_path / below / "lock"
    lock.parent.mkdir(parents=True)
    lock.touch()
    os.utime(lock, (time.time() - 60 * minutes,) * 2)
    (found,) = lock_checks(tmp_path)
    assert found.state is state
    if state is State.PROBLEM:
        assert found.remedy == f"rm {lock}"
        subprocess.run(found.remedy, shell=True, check=True)
        assert [check.state for check in lock_checks(tmp_path)] == [State.OK]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_a_lock_that_somebody_holds(tmp_path):
    lock = tmp_path / "op" / "lock"
    lock.parent.mkdir()
    with lock.open("w"):
        os.utime(lock, (0, 0))
        assert [check.state for check in lock_checks(tmp_path)] == [State.OK]
    assert [check.state for check in lock_checks(tmp_path)] == [State.PROBLEM]


def _source(folder):
    package = folder / "a package" / "transformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("x = 1")
    return package / "__init__.py"


def test_compiled_modules_that_are_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "pycache_prefix", None)
    source = _source(tmp_path)
    assert bytecode_check(source, written=True).state is State.OK
    found = bytecode_check(source, written=False)
    assert found.state is State.WARNING
    _, command = found.remedy.split("unset it, or python ")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPYCACHEPREFIX"}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    subprocess.run(f"{sys.executable} {command}", shell=True, check=True, env=env)
    assert bytecode_check(source, written=False).state is State.OK


def test_compiled_modules_with_no_place_to_lie(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "file" / "below"))
    found = bytecode_check(_source(tmp_path), written=True)
    assert found.state is State.WARNING
    assert "cannot be written" in found.detail
    assert bytecode_check(None, written=True).state is State.OK


class _Strict(Message):
    """As importlib_metadata reads it."""

    def __getitem__(self, name):
        found = super().__getitem__(name)
        if found is None:
            raise KeyError(name)
        return found


def _installed(**fields):
    metadata = _Strict()
    for name, value in fields.items():
        metadata[name.replace("_", "-")] = value
    return SimpleNamespace(metadata=metadata, requires=None)


def test_metadata_that_lacks_fields(monkeypatch):
    every = [_installed(Name="Some.Thing", Version="1"), _installed(Version="2"), _installed(Name="other")]
    monkeypatch.setattr(installed, "distributions", lambda: every)
    found = installed.read_environment()
    assert (found.versions, found.pythons) == ({"some-thing": "1"}, {})


def test_where_extensions_are_built(tmp_path):
    assert extensions_folder({"TORCH_EXTENSIONS_DIR": "/a"}, tmp_path) == Path("/a")
    assert extensions_folder({}, tmp_path).is_relative_to(tmp_path)


def _record(distribution):
    spec = StrategySpec(kind=Kind.MIXER, name="mine", target="m:C", summary="s")
    return Record(spec=spec, distribution=distribution, version="1")


def test_plugins():
    told = {"entry_point": "a = a", "distribution": "a", "version": "1"}
    slow = Fault(**told, stage="import", error="imports torch", withdrawn=False)
    bad = Fault(entry_point="b = b", distribution="b", version="2", stage="yield", error="KeyError: 1")
    found = list(plugin_checks(Catalog(records=(_record("one"), _record("two")), faults=(slow, bad))))
    assert [check.state for check in found] == [State.WARNING, State.PROBLEM, State.WARNING, State.OK]
    assert "b 2: b = b failed at yield: KeyError: 1" in found[1].detail
    assert found[2].remedy == "write one/mine or two/mine"


@pytest.mark.parametrize(("state", "code"), [(State.OK, 0), (State.WARNING, 0), (State.PROBLEM, 1)])
def test_the_exit_code(monkeypatch, state, code):
    monkeypatch.setattr(doctor, "checks", lambda catalog: [Check(name="n", state=state, detail="d", remedy="[r]")])
    plain, told = (CliRunner().invoke(cli, ["doctor", *words]) for words in ([], ["--json"]))
    assert plain.exit_code == told.exit_code == code
    assert "[r]" in plain.stdout
    assert json.loads(told.stdout) == {
        "schema": 1,
        "ok": code == 0,
        "checks": [{"name": "n", "state": state.value, "detail": "d", "remedy": "[r]"}],
    }


def test_a_file_in_the_current_folder_is_no_module_of_those_that_look(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert machine._python("import json; print(json.dumps(1))") == ("1\n", None)


def test_this_environment(tmp_path):
    words = [sys.executable, "-m", "dataflex_cli", "doctor", "--json"]
    env = {**os.environ, "TORCH_EXTENSIONS_DIR": str(tmp_path)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    states = {check["name"]: check["state"] for check in told["checks"]}
    assert {states[name] for name in (*SHOWN, "torchaudio", "torchvision", "extension lock", "strategies")} == {"ok"}, (
        told
    )
    assert {"GPUs", "gloo", "compiled modules"} <= states.keys()
