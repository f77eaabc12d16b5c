"""A run in Ray workers: an agent a rank, which starts the process that torchrun would have started.

LLaMA-Factory's own way (``USE_RAY=1 llamafactory-cli train``) trains inside the agents, asks ten CPUs for each and as
many agents as the cluster has devices, and waits for ever where there are fewer: on CPU always.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataflex_cli.launch import Processes
from dataflex_cli.rank_exits import LeftError, as_error, ended_silently, first_error_in, was_killed
from dataflex_core.errors import DataflexError, RunFailed, UnmetNeed
from dataflex_core.handover import Handover
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.environment import ray_rank

# Where another node's differ, or Ray sets them for each worker.
_NOT_PASSED_ON = ("RAY_", "CUDA_VISIBLE_DEVICES", "PATH", "HOME", "TMPDIR", "PWD", "OLDPWD", "HOSTNAME", "VIRTUAL_ENV")
_GRACE_SECONDS = 5.0
_START_SECONDS = 300


class Agent:
    """On a worker of the cluster: starts one rank and says how it ended. Its methods run in threads."""

    def endpoint(self) -> tuple[str, int]:
        """This node's address, and a port that is free there."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return str(ray.util.get_node_ip_address()).strip("[]"), int(probe.getsockname()[1])

    def start(self, handed_over: str, env: Mapping[str, str], folder: str, words: list[str]) -> None:
        """Start the rank of ``env`` in ``folder``, where this node has it, with a `Handover` as JSON."""
        self._scratch = tempfile.TemporaryDirectory(prefix="dataflex-")
        place = Path(self._scratch.name)
        self._errors = place / "errors"
        self._errors.mkdir()
        file = place / "run.json"
        file.write_text(handed_over, encoding="utf-8")
        rank = ["-P", "-m", "dataflex_cli.worker", str(file), str(self._errors), str(os.getpid())]
        cwd = folder if Path(folder).is_dir() else None
        self._process = subprocess.Popen([sys.executable, *rank, *words], env={**os.environ, **env}, cwd=cwd)

    def wait(self) -> tuple[int, LeftError | None, float]:
        """Its exit code, the error that it left, and when."""
        code = self._process.wait()
        return code, first_error_in(self._errors), time.time()

    def send(self, number: int) -> None:
        """Signal the rank."""
        self._process.send_signal(number)


def train_in_ray(run: Handover, wanted: Processes, *, debug: bool) -> None:
    """Train in ``wanted.per_node`` workers of a Ray cluster, a local one where none is named by ``RAY_ADDRESS``.

    Each rank is handed ``run``.

    Raises what stopped them, in one error.
    """
    written = RunArgs(written=run.config.args)
    with _cluster(written.ray_options or {}) as ray:
        agents = _agents(ray, wanted.per_node)
        node, free = ray.get(agents[0].endpoint.remote())
        address, port = written.address or node, written.port or str(free)
        passed = {key: value for key, value in os.environ.items() if not key.startswith(_NOT_PASSED_ON)}
        for rank, agent in enumerate(agents):
            env = {**passed, **ray_rank(rank, len(agents), address=address, port=port)}
            ray.get(agent.start.remote(run.to_json(), env, os.getcwd(), ["--debug"] if debug else []))
        _wait(ray, agents)


@contextlib.contextmanager
def _cluster(options: Mapping[str, Any]) -> Iterator[Any]:
    import ray

    try:
        ray.init(**options)
    except Exception as error:  # Ray raises plain ones
        message = " ".join(str(error).split())
        raise RunFailed(f"no Ray cluster: {message}", hint="see RAY_ADDRESS, ray_init_kwargs and ray status") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _agents(ray: Any, count: int) -> list[Any]:
    """One for each rank, those of a node side by side."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    total = ray.cluster_resources()
    share = {"CPU": 1, "GPU": 1} if total.get("GPU") else {"CPU": 1}
    for device, each in share.items():
        if total.get(device, 0) < count * each:
            have = int(total.get(device, 0))
            raise UnmetNeed(
                f"ray_num_workers is {count}, and the Ray cluster has {have} {device}s",
                hint=f"set ray_num_workers: {max(have, 1)}, or add nodes to the cluster",
            )
    group = ray.util.placement_group([share] * count, strategy="PACK")
    if not group.wait(timeout_seconds=60):
        raise RunFailed(
            f"the Ray cluster had no room for {count} workers within a minute", hint="see ray status: others use it"
        )
    kind = ray.remote(Agent)
    agents = [
        kind.options(
            num_cpus=1,
            num_gpus=share.get("GPU", 0),
            max_concurrency=2,
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=index),
        ).remote()
        for index in range(count)
    ]
    try:
        found = ray.get([agent.endpoint.remote() for agent in agents], timeout=_START_SECONDS)
    except ray.exceptions.GetTimeoutError:
        raise RunFailed(
            f"the Ray workers did not start within {_START_SECONDS} seconds", hint="see the logs in /tmp/ray"
        ) from None
    nodes = [address for address, _ in found]
    return [agents[index] for index in sorted(range(count), key=lambda index: (nodes.index(nodes[index]), index))]


def _wait(ray: Any, agents: list[Any]) -> None:
    running = {agent.wait.remote(): rank for rank, agent in enumerate(agents)}
    ended: dict[int, tuple[int, LeftError | None, float]] = {}
    deadline = float("inf")
    with _termination() as asked:
        while running and time.time() < deadline:
            ready, _ = ray.wait(list(running), timeout=0.5)
            for reference in ready:
                ended[running.pop(reference)] = _ending(ray, reference)
            if asked:
                number = asked.pop()
                ray.get([agents[rank].send.remote(number) for rank in running.values()])
            # The others wait for a rank that is gone: what is left to them is time to say so.
            if deadline == float("inf") and any(code for code, _, _ in ended.values()):
                deadline = time.time() + _GRACE_SECONDS
    for rank in running.values():
        ray.kill(agents[rank])
    if error := _first_error(ended):
        raise error


def _ending(ray: Any, reference: Any) -> tuple[int, LeftError | None, float]:
    try:
        code, left, when = ray.get(reference)
        return int(code), left, float(when)
    except ray.exceptions.RayError:
        return -signal.SIGKILL, None, time.time()


def _first_error(ended: Mapping[int, tuple[int, LeftError | None, float]]) -> DataflexError | None:
    failed = sorted((when, rank, code) for rank, (code, _, when) in ended.items() if code)
    # A rank that was killed says nothing, and the others' connections to it break: that is what they say.
    for _, rank, code in sorted(failed, key=lambda ending: not was_killed(ending[2])):
        left = ended[rank][1]
        return ended_silently(rank, code) if was_killed(code) or left is None else as_error(left)
    return None


@contextlib.contextmanager
def _termination() -> Iterator[list[int]]:
    """SIGTERM is the ranks' to answer: each writes its checkpoint and ends."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
