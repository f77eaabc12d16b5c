"""Commands in forks of a warm process, as `server` makes them."""

from __future__ import annotations

import itertools
import json
import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit code, negative for a signal, and all that it printed."""

    code: int
    text: str

    @property
    def ours(self) -> list[str]:
        """The lines that DataFlex printed, without LLaMA-Factory's."""
        return [part for part in self.text.splitlines() if part.startswith(("DataFlex: ", "Error: ", "       "))]


class Machine:
    """Two warm processes whose hashes differ: nothing that is compared may depend on one. Two threads may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        tests = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
        env = {
            "OMP_NUM_THREADS": "1",
            **os.environ,
            "PYTHONPATH": path,
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HOME": str(folder / "hf"),
            "HF_HUB_OFFLINE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        self._servers = [_start({**env, "PYTHONHASHSEED": str(seed)}, folder / f"server{seed}.log") for seed in (1, 2)]
        for server in self._servers:
            _answer(server, 300)
        self._free: queue.Queue[subprocess.Popen[str]] = queue.Queue()
        for server in self._servers:
            self._free.put(server)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for server in self._servers:
            assert server.stdin is not None
            server.stdin.close()
            server.wait(timeout=60)

    def dataflex(self, *words: str, point: str | None = None, seconds: float = 120) -> Ended:
        """``dataflex WORDS`` with a fault ``point``; killed after ``seconds``, which is a hang."""
        output = self._folder / f"{next(self._numbers)}.log"
        server = self._free.get()
        try:
            code = _run(server, {"words": words, "point": point, "output": str(output)}, seconds)
        finally:
            self._free.put(server)
        return Ended(code=code, text=output.read_text(encoding="utf-8", errors="replace"))


def _run(server: subprocess.Popen[str], request: Mapping[str, object], seconds: float) -> int:
    _pipe(server.stdin).write(json.dumps(request) + "\n")
    _pipe(server.stdin).flush()
    pid = _answer(server, 30)
    try:
        code: int = _answer(server, seconds)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        _answer(server, 30)
        raise
    return code


def _start(env: Mapping[str, str], log: Path) -> subprocess.Popen[str]:
    with log.open("w") as errors:
        command = [sys.executable, "-m", "faults.server"]
        return subprocess.Popen(
            command, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )


def _answer(server: subprocess.Popen[str], seconds: float) -> Any:
    """The next line that a server says. Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not select.select([server.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
        if time.monotonic() >= deadline:
            raise TimeoutError(f"no answer within {seconds} s")
    said = _pipe(server.stdout).readline()
    if not said:
        raise RuntimeError("a warm process ended: see its log")
    return json.loads(said)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
