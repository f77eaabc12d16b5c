"""A short training that is killed and gone on with as often as wished, beside one that never is."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import base_args, build_data, build_model
from third_party import FOLDER

from faults.machine import Ended, Machine
from faults.outcome import Outcome, outcome

SETS: dict[str, dict[str, str]] = {
    "select-loss": {"selector": "loss"},
    "select-less": {"selector": "less"},
    "mix-random": {"mixer": "random"},
    "weigh-loss": {"weighter": "loss"},
    "all": {"selector": "loss", "mixer": "random", "weighter": "loss"},
}
OTHERS: dict[str, dict[str, Any]] = {
    "rho-1": {"weighter": {"name": "my-rho-1", "reference_model": "base"}},
    "exp3": {"mixer": "exp3"},
    "rho-loss": {"selector": {"name": "rho-loss", "reference_model": "base"}},
    "k-center": {"selector": "k-center", "weighter": "loss"},
    "curriculum": {"selector": "curriculum", "mixer": "random"},
}
"""Runs with a strategy of `third_party`, by its name."""
STEPS = 11


class Bench:
    """Model, data and references of a session; `Trial`s of it are runs."""

    def __init__(self, folder: Path, machine: Machine) -> None:
        self.folder, self.machine = folder, machine
        self.model = build_model(folder / "model")
        # Six steps are an epoch: a run passes its border, and ends on one.
        self.data = build_data(folder / "data", sizes={"words": 14, "numbers": 10, "held": 6})
        self._references: dict[str, Outcome] = {}
        self._numbers = itertools.count()

    def trial(self, strategies: str, **changes: Any) -> Trial:
        """A run to be, in a folder of its own; ``plugins`` among the changes are files for ``--plugin``."""
        return Trial(self, self.folder / f"trial{next(self._numbers)}", strategies, changes)

    def reference(self, strategies: str, **changes: Any) -> Outcome:
        """What the run comes to when nothing happens to it; trained once."""
        key = json.dumps([strategies, changes], sort_keys=True)
        if key not in self._references:
            trial = self.trial(strategies, **changes)
            ended = trial.run()
            assert ended.code == 0, ended.text[-3000:]
            self._references[key] = outcome(trial.output)
            trial.remove()
        return self._references[key]


class Trial:
    """One run: a configuration, and commands on it."""

    def __init__(self, bench: Bench, folder: Path, strategies: str, changes: dict[str, Any]) -> None:
        self._bench, self._folder, self._key = bench, folder, (strategies, changes)
        self.output = folder / "out"
        self.config = folder / "config.json"
        folder.mkdir()
        self.write()

    def write(self, *, output: Path | None = None, data: Path | None = None, **more: Any) -> None:
        """Write the configuration anew, with ``more`` changes."""
        strategies, changes = self._key
        self.output = output or self.output
        changes = {**changes, **more}
        changes.pop("plugins", None)
        section = {
            "warmup_steps": 2,
            "update_steps": 3,
            "flush_seconds": 0,
            "token_budget": 64,
            **(SETS | OTHERS)[strategies],
            **changes.pop("dataflex", {}),
        }
        common: dict[str, Any] = {
            "max_steps": STEPS,
            "save_strategy": "steps",
            "save_steps": 2,
            "save_total_limit": 2,
            "logging_steps": 1,
            "lora_dropout": 0.1,
            "eval_dataset": "held",
            "dataflex": section,
        }
        args = base_args(self._bench.model, data or self._bench.data, self.output, **{**common, **changes})
        self.config.write_text(json.dumps(args), encoding="utf-8")

    def run(self, *words: str, point: str | None = None) -> Ended:
        """``dataflex run`` with a fault ``point``."""
        strategies, changes = self._key
        files = list(changes.get("plugins", ()))
        if strategies in OTHERS:
            files.append(str(FOLDER / f"{strategies.replace('-', '_')}.py"))
        plugins = [word for file in files for word in ("--plugin", file)]
        return self._bench.machine.dataflex("run", str(self.config), *plugins, *words, point=point)

    def resume(self, *words: str, point: str | None = None) -> Ended:
        """``dataflex run --resume`` with a fault ``point``."""
        return self.run("--resume", *words, point=point)

    def differences(self) -> list[str]:
        """Between this run, ended, and the one that nothing happened to."""
        strategies, changes = self._key
        return self._bench.reference(strategies, **changes).differences(outcome(self.output))

    def suffer(self, points: Sequence[str]) -> list[str]:
        """Be killed at one point after the other, go on, end; how the run then differs from one that was not."""
        for number, point in enumerate(points):
            ended = self.resume(point=point) if number else self.run(point=point)
            if ended.code == 0 and number == 0:
                return [f"{point}: never reached"]
            if ended.code not in (-9, 0):
                return [f"{point}: exit code {ended.code}: {ended.text[-2000:]}"]
        ended = self.resume()
        if ended.code != 0:
            return [f"the resume: exit code {ended.code}: {ended.text[-2000:]}"]
        return self.differences()

    def remove(self) -> None:
        """Leave nothing on disk."""
        shutil.rmtree(self._folder)
