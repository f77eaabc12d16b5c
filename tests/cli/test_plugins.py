"""`dataflex plugins`: what is installed, and installing it with the environment's own installer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import install_plugin, offering

from dataflex_cli import installer
from dataflex_cli.main import cli
from dataflex_core.errors import DataflexError, InvalidPlugin, RunFailed


def _plugins(*words):
    return CliRunner().invoke(cli, ["plugins", *map(str, words)])


@pytest.fixture
def wheel(tmp_path):
    """A wheel of a plugin, made by hand: no index is asked for anything."""
    (tmp_path / "built").mkdir()
    install_plugin(tmp_path / "built", "dfx-wheel", offering("rolling", kind="mixer"))
    info = "dfx_wheel-1.0.dist-info"
    path = tmp_path / "dfx_wheel-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted((tmp_path / "built").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(tmp_path / "built"))
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*archive.namelist(), f"{info}/RECORD"]))
    return path


def test_a_plugin_is_installed_and_uninstalled(tmp_path, wheel):
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "fresh")], check=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def dataflex(*words):
        command = [str(tmp_path / "fresh" / "bin" / "python"), "-m", "dataflex_cli", *map(str, words)]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert dataflex("plugins", "install", wheel).endswith("mixer rolling (dfx-wheel 1.0)\n")
    told = json.loads(dataflex("plugins", "list", "--json"))
    (plugin,) = (row for row in told["plugins"] if row["distribution"] == "dfx-wheel")
    assert (told["schema"], plugin["version"], plugin["state"]) == (1, "1.0", "ok")
    assert plugin["strategies"] == [{"kind": "mixer", "name": "rolling"}]
    dataflex("plugins", "uninstall", "dfx-wheel")
    assert "dfx-wheel" not in dataflex("plugins", "list")


@pytest.mark.parametrize(
    ("verb", "pip", "uv", "words"),
    [
        ("install", True, "/bin/uv", (sys.executable, "-P", "-m", "pip", "install", "x")),
        ("uninstall", True, None, (sys.executable, "-P", "-m", "pip", "uninstall", "--yes", "x")),
        ("install", False, "/bin/uv", ("/bin/uv", "pip", "install", "--python", sys.executable, "x")),
        ("uninstall", False, "/bin/uv", ("/bin/uv", "pip", "uninstall", "--python", sys.executable, "x")),
        ("install", False, None, None),
    ],
)
def test_the_environments_own_installer(monkeypatch, verb, pip, uv, words):
    monkeypatch.setattr(installer.importlib.util, "find_spec", lambda name: object() if pip else None)
    monkeypatch.setattr(installer.shutil, "which", lambda name: uv)
    assert installer.command(verb, ["x"]) == words
    if words is None:
        with pytest.raises(DataflexError, match="no pip") as caught:
            installer.call(verb, ["x"])
        assert caught.value.exit_code == 1
        assert f"uv pip install --python {sys.executable} x" in caught.value.hint
        with pytest.raises(DataflexError) as caught:
            installer.call(verb, ["./my plugin[test]"])
        assert caught.value.hint.endswith(f"--python {sys.executable} './my plugin[test]'")


def test_an_installer_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr(installer, "command", lambda verb, names: (sys.executable, "-c", "raise SystemExit(3)"))
    assert isinstance(_plugins("install", "x").exception, RunFailed)


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_dry_run_prints_the_command(monkeypatch, verb):
    monkeypatch.setattr(installer, "call", lambda verb, names: pytest.fail("ran"))
    words = _plugins(verb, "dataflex-strategies", "--dry-run").output.split()
    assert verb in words
    assert words[-1] == "dataflex-strategies"


def test_a_plugin_is_uninstalled_by_any_spelling_of_its_name():
    assert _plugins("uninstall", "DataFlex_Strategies", "--dry-run").exit_code == 0


def test_an_installation_that_breaks_the_environment_is_one_line(monkeypatch):
    monkeypatch.setattr(installer, "call", lambda verb, names: monkeypatch.setattr("sys.executable", "/bin/false"))
    assert "cannot be listed" in str(_plugins("install", "x").exception)


def test_a_file_in_the_current_folder_is_no_module_of_those_that_list_plugins(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(installer, "call", lambda verb, names: None)
    assert _plugins("install", "x").stdout == "No strategy came with it.\n"


@pytest.mark.parametrize("words", [("install", ""), ("uninstall", "torch"), ("uninstall", "dataflex-strategie")])
def test_a_name_that_is_no_plugin_is_refused(words):
    assert isinstance(_plugins(*words).exception, InvalidPlugin)


def test_faults_and_plugins_that_are_left_out_are_listed(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install_plugin(tmp_path, "dfx-broken", "raise RuntimeError('broken')", version="0.3")
    install_plugin(tmp_path, "dfx-unwanted", "")
    monkeypatch.setenv("DATAFLEX_DISABLE_PLUGINS", "dfx-unwanted")
    told = json.loads(_plugins("list", "--json").stdout)
    states = {(row["distribution"], row["version"]): row["state"] for row in told["plugins"]}
    assert states[("dfx-broken", "0.3")] == "fault"
    assert states[("dfx-unwanted", "1.0")] == "left out"
    assert [(f["distribution"], f["stage"], f["error"]) for f in told["faults"]] == [
        ("dfx-broken", "import", "RuntimeError: broken")
    ]
    table = _plugins("list")
    assert "dfx-unwanted" in table.stdout
    assert "fault: dfx-broken 0.3" in table.stderr


def test_gradient_rules_are_listed():
    file = Path(__file__).parents[1] / "thirdparty_layers.py"
    told = json.loads(_plugins("list", "--plugin", file, "--json").stdout)
    (plugin,) = (row for row in told["plugins"] if row["distribution"] == "thirdparty_layers.py")
    assert plugin["gradient_rules"] == ["thirdparty_layers:Bottleneck"]
    assert plugin["strategies"] == []
    assert plugin["version"], "of a plugin without strategies, too"
    assert "gradients of thirdparty_layers:Bottleneck" in _plugins("list", "--plugin", file).stdout


def test_gradient_rules_are_what_an_installation_brings(monkeypatch):
    monkeypatch.setattr(installer, "call", lambda verb, names: None)
    brought = {"distribution": "dfx-layers", "version": "1.0", "strategies": [], "gradient_rules": ["m:Layer"]}
    listed = {"plugins": [brought], "faults": []}
    monkeypatch.setattr("dataflex_cli.commands.plugins._listed_now", lambda: listed)
    assert _plugins("install", "dfx-layers").stdout == "gradients of m:Layer (dfx-layers 1.0)\n"
