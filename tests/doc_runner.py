"""Runs the blocks of a page one after the other, in a scratch folder, with a tiny model and tiny data.

Commands run in this process. Four things are not as a reader would have them: a configuration gets the tiny model, a
data file holds its samples forty times over, a run for several processes is a dry run, and one of the demo is short.
Installing a plugin leaves what an installer leaves, without its dependencies.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from doc_blocks import Block, blocks
from support import base_args, build_data

from dataflex_cli.commands.run import run
from dataflex_cli.main import cli
from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.prepare import prepare

Dataflex = Callable[[list[str]], tuple[int, str]]
"""Runs the command with some words: exit code and output, errors included."""

NAMESPACE = "documented"
_SIZES = {"wiki": 60, "code": 40, "words": 60, "questions": 6}
_TINY = ("model_name_or_path", "template", "use_cpu", "report_to", "disable_tqdm", "lora_rank")
_REPEATS = 40
_SHORT = ("dataflex.warmup_steps=1", "dataflex.update_steps=1", "dataflex.updates=1", "dataflex.candidates=4")


def run_page(page: Path, runner: PageRunner) -> None:
    """Run all blocks of a page; a command whose output is shown as an error has to fail."""
    todo = [block for block in blocks(page) if block.reason is None]
    for block, after in zip_longest(todo, todo[1:]):
        fails = after is not None and after.language == "text" and after.text.startswith("Error:")
        try:
            runner.run(block, fails=fails)
        except Exception as error:
            error.add_note(f"the block is {block.where}")
            raise


class PageRunner:
    """What the blocks of one page share: a folder, a Python module, and the output of the last commands."""

    def __init__(self, folder: Path, model: Path, patch: pytest.MonkeyPatch, dataflex: Dataflex) -> None:
        self._folder, self._patch, self._dataflex = folder, patch, dataflex
        self._output, self._codes = "", [0]
        self.module = ModuleType(NAMESPACE)
        patch.setitem(sys.modules, NAMESPACE, self.module)
        patch.chdir(folder)
        build_data(folder / "data", sizes=_SIZES)
        self.args = base_args(
            model, Path("data"), Path("out"), dataset="wiki,code", eval_dataset="questions", max_steps=4, bf16=False
        )
        self.args |= {"save_strategy": "steps", "save_steps": 2}
        self._write("my.yaml", yaml.safe_dump({**self.args, "dataflex": {"warmup_steps": 1, "update_steps": 2}}))
        (folder / "path").mkdir()
        (folder / "path" / "to").symlink_to(folder)

    def run(self, block: Block, *, fails: bool = False) -> None:
        """Run a block of any language that is known; fails for others. ``fails`` is whether its last command does."""
        match block.language:
            case "bash":
                self._codes = []
                self._output = "".join(self._command(line) for line in _lines(block.text))
                assert [bool(code) for code in self._codes] == [False] * (len(self._codes) - 1) + [fails], self._output
            case "text":
                self._compare(block.text)
            case "python" if self._is_excerpt(block.text):
                pass
            case "python" if block.file is None:
                exec(compile(block.text, block.where, "exec"), self.module.__dict__)
            case "python":
                compile(block.text, block.where, "exec")
                self._write(block.file, block.text)
            case "yaml":
                self._configuration(block)
            case "toml":
                tomllib.loads(block.text)
                self._write(block.file, block.text)
            case "json":
                self._data(block)
            case other:
                raise ValueError(f"a block of {other or 'no language'} cannot be run: say why, <!-- not run: … -->")

    def _write(self, name: str | None, text: str) -> None:
        if name is not None:
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def _configuration(self, block: Block) -> None:
        """A whole configuration is checked as it stands, a part of one as a part of ours."""
        given = yaml.safe_load(block.text)
        whole = given if "do_train" in given else {**self.args, **given}
        checked = self._folder / "checked.yaml"
        checked.write_text(yaml.safe_dump(whole), encoding="utf-8")
        prepare(load_config(checked), discover())
        tiny = {key: self.args[key] for key in _TINY}
        self._write(block.file, yaml.safe_dump({**whole, **tiny, "bf16": False}))

    def _data(self, block: Block) -> None:
        value = json.loads(block.text)
        self._write(block.file, json.dumps(value * _REPEATS if isinstance(value, list) else value))

    def _command(self, line: str) -> str:
        words = shlex.split(line, comments=True)
        output = ""
        while words:
            end = words.index("&&") if "&&" in words else len(words)
            output += self._one(words[:end])
            words = words[end + 1 :]
        return output

    def _one(self, words: list[str]) -> str:
        settings = {}
        while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
            name, _, value = words.pop(0).partition("=")
            settings[name] = value
        if ">" in words:
            words, (_, file) = words[:-2], words[-2:]
            self._write(file, self._one(words))
            return ""
        match words:
            case ["dataflex", "plugins", "install" | "uninstall", *rest] if "--dry-run" not in rest:
                raise ValueError("no test changes its own environment: say so, <!-- not run: … -->")
            case ["dataflex", *rest]:
                return self._call(rest, settings)
            case ["pip", "install", *options, project] if project[0] == "." and set(options) <= {"-e", "--editable"}:
                self._install(self._folder / project.partition("[")[0])
            case ["pytest", *rest]:
                return self._pytest(rest)
            case _:
                raise ValueError(f"{shlex.join(words)!r} cannot be run: say why, <!-- not run: … -->")
        return ""

    def _call(self, words: list[str], settings: dict[str, str]) -> str:
        with self._patch.context() as patch:
            for name, value in settings.items():
                patch.setenv(name, value)
            more = _changes(words, settings)
            code, output = self._dataflex([*words, *more])
        self._codes.append(code)
        return output

    def _pytest(self, words: list[str]) -> str:
        """In a process of its own, which finds what was installed here."""
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words], capture_output=True, text=True, env=env
        )
        self._codes.append(done.returncode)
        return done.stdout + done.stderr

    def _install(self, folder: Path) -> None:
        """What an installer leaves of the project in ``folder``."""
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        home = folder / "src" if (folder / "src").is_dir() else folder
        info = home / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        points = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["dataflex"].items())
        (info / "entry_points.txt").write_text(f"[dataflex]\n{points}", encoding="utf-8")
        self._patch.syspath_prepend(home)

    def _is_excerpt(self, text: str) -> bool:
        """Whether it shows a part of a file that a command has written."""
        return any(text in path.read_text(encoding="utf-8") for path in self._folder.rglob("*.py"))

    def _compare(self, text: str) -> None:
        """The lines of ``text``, in which ``…`` stands for anything, are lines of the last commands' output."""
        left = [line.rstrip() for line in self._output.splitlines()]
        for line in filter(None, (line.rstrip() for line in text.splitlines())):
            pattern = ".*".join(map(re.escape, line.split("…")))
            place = next((i for i, said in enumerate(left) if re.fullmatch(pattern, said)), None)
            assert place is not None, f"{line!r} is not in the output, or not there:\n{self._output}"
            left = left[place + 1 :]


def _changes(words: list[str], settings: dict[str, str]) -> list[str]:
    """What is added to a command so that a test can afford it."""
    if cli.get_command(click.Context(cli), words[0]) is not run:
        return []
    given = run.make_context("run", words[1:], resilient_parsing=True).params
    if "NNODES" in settings or (given["nproc"] or 1) > 1:
        return ["--dry-run"]
    is_demo = not given["words"] or "=" in given["words"][0]
    return list(_SHORT) if is_demo and not given["dry_run"] else []


def _lines(text: str) -> list[str]:
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
