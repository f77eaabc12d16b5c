"""A new plugin of every kind, where its author has it: installed by pip, outside the tree, as the documents say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml
from support import journalled

from dataflex_cli.scaffold import SKETCHES, Template

pytestmark = [pytest.mark.slow, pytest.mark.numeric]

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "write-a-strategy.md"


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Run lines of bash in a folder, in a fresh environment with the three packages; what they printed."""
    fresh = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
    # PyTorch and the like are this environment's: gigabytes not installed again. What comes with a command, the three
    # packages and the plugin are really installed, and found first.
    site = sysconfig.get_path("purelib", vars={"base": str(fresh)})
    Path(site, "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    env |= {"PATH": f"{fresh / 'bin'}{os.pathsep}{env['PATH']}", "VIRTUAL_ENV": str(fresh)}

    def run(lines: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    packages = " ".join(f"./dataflex-{name}" for name in ("core", "strategies", "cli"))
    run(f"python -m pip install --no-deps --ignore-installed -c constraints.txt pytest {packages}", ROOT)
    where = "import dataflex_core, dataflex_cli; print(dataflex_core.__file__, dataflex_cli.__file__)"
    assert run(f"python -c '{where}'", fresh).count(str(fresh)) == 2
    return run


def blocks(path: Path) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def test_the_guide_runs_as_written(shell, tmp_path):
    (commands,) = blocks(GUIDE)
    assert len(commands.splitlines()) < 10
    said = shell(commands, tmp_path)
    assert "quantile: float" in said
    assert re.search(r"\d+ passed", said)
    assert not re.search(r"\d+ (failed|skipped|error)", said)
    output = tmp_path / "dataflex-demo" / "output"
    assert json.loads((output / "trainer_state.json").read_text())["global_step"] == 50
    assert decided_by(output) == {"my-strategy"}


@pytest.mark.parametrize("sketch", SKETCHES, ids=lambda s: s.folder)
def test_its_readme_and_its_ci_run_as_written(shell, tmp_path, sketch):
    name = f"my-{sketch.folder}"
    flags = f"--template {sketch.folder}" if sketch.folder in list(Template) else ""
    shell(f"dataflex new {name} --kind {sketch.kind} {flags}\ndataflex init run", tmp_path)
    folder = tmp_path / f"dataflex-{name}"

    workflow = yaml.safe_load((folder / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    steps = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert "passed" in shell("\n".join(steps), folder)

    listed = json.loads(shell("dataflex list-strategies --json", folder))
    assert listed["faults"] == []
    assert (sketch.kind, f"dataflex-{name}/{name}") in {(s["kind"], s["id"]) for s in listed["strategies"]}

    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8"))
    config["dataflex"] = {"warmup_steps": 2, "update_steps": 3, "updates": 2}
    (folder / "my.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (commands,) = blocks(folder / "README.md")
    said = shell(commands, folder)
    assert "passed" in said
    assert f"{sketch.kind} {name}" in said
    output = tmp_path / "run" / "output"
    assert json.loads((output / "trainer_state.json").read_text())["global_step"] == 8
    assert decided_by(output) == {name}


def decided_by(output: Path) -> set[str]:
    """The strategies of the run that wrote ``output``."""
    (start,) = [event for event in journalled(output) if event["event"] == "start"]
    return {strategy["name"] for strategy in start["strategies"]}
