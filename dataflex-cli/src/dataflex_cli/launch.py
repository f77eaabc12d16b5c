"""Where a run's processes come from: this one, torchrun's when there is more than one, or Ray's."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex_cli.rank_exits import as_error, ended_silently, first_error_in, stopped_by_signal, was_killed
from dataflex_core.errors import InvalidConfig
from dataflex_core.handover import Handover
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.devices import device_count
from dataflex_core.llamafactory.environment import LaunchEnvironment


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """How many processes on how many nodes; ``torchrun`` is whether they need a launcher, ``ray`` whether it is Ray.

    Ray places its workers itself: they count as one node's.
    """

    per_node: int
    nodes: int
    torchrun: bool
    ray: bool = False

    @property
    def world(self) -> int:
        """All ranks."""
        return self.per_node * self.nodes

    @property
    def launched(self) -> bool:
        """Whether a launcher starts them, so that each is a rank, be it the only one."""
        return self.torchrun or self.ray


def processes(nproc: int | None, args: Mapping[str, Any], env: Mapping[str, str] = os.environ) -> Processes:
    """Read LLaMA-Factory's environment variables; ``--nproc`` wins over ``NPROC_PER_NODE``, that over the devices.

    With Ray it wins over ``ray_num_workers``. Raises `InvalidConfig` when one of them is no number.
    """
    written, asked = RunArgs(written=args), LaunchEnvironment(variables=env)
    if written.uses_ray(env):
        return Processes(per_node=max(1, nproc or written.ray_workers), nodes=1, torchrun=False, ray=True)
    nodes = asked.nodes
    per_node = nproc if nproc is not None else asked.processes_per_node or max(1, device_count())
    return Processes(per_node=per_node, nodes=nodes, torchrun=asked.forces_torchrun or per_node > 1 or nodes > 1)


def torchrun(run: Handover, wanted: Processes, *, debug: bool, env: Mapping[str, str] = os.environ) -> None:
    """Train in ``wanted.per_node`` processes on this node; each is handed ``run``.

    Raises what stopped them, in one error, and `InvalidConfig` where ``env`` does not say where several nodes meet.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as elastic_run

    with tempfile.TemporaryDirectory(prefix="dataflex-") as folder:
        handed_over, errors = Path(folder) / "run.json", Path(folder) / "errors"
        handed_over.write_text(run.to_json(), encoding="utf-8")
        errors.mkdir()
        # As the command itself, a rank takes no file in the current folder for a module: -P, which torchrun has not.
        python = ["--no-python", sys.executable, "-u", "-P"]
        worker = ["-m", "dataflex_cli.worker", str(handed_over), str(errors), str(os.getpid())]
        words = [*rendezvous(wanted, env), *python, *worker]
        try:
            options = parse_args([*words, "--debug"] if debug else words)  # type: ignore[no-untyped-call]  # in torch
            elastic_run(options)  # type: ignore[no-untyped-call]  # in torch
        except ChildFailedError as error:
            # A rank that was killed says nothing, and the others' connections to it break: that is what they say.
            killed = [(rank, failed.exitcode) for rank, failed in error.failures.items() if was_killed(failed.exitcode)]
            if not killed and (left := first_error_in(errors)):
                raise as_error(left) from error
            first, failure = error.get_first_failure()
            rank, code = killed[0] if killed else (first, failure.exitcode)
            raise ended_silently(rank, code) from error
        except SignalException as error:
            if left := first_error_in(errors):
                raise as_error(left) from error
            raise stopped_by_signal(error.sigval) from error


def rendezvous(wanted: Processes, env: Mapping[str, str] = os.environ) -> list[str]:
    """torchrun's options for this node. Raises `InvalidConfig` where several nodes have no port in common."""
    asked = LaunchEnvironment(variables=env)
    if wanted.nodes > 1 and asked.port is None:
        raise InvalidConfig("NNODES is above 1 and MASTER_PORT is not set", hint="set the same MASTER_PORT everywhere")
    port = asked.port or str(_free_port())
    options = ["--nproc_per_node", str(wanted.per_node), "--max_restarts", asked.max_restarts]
    if (job := asked.elastic_job) is not None:
        nodes, endpoint = asked.elastic_nodes(wanted.nodes), f"{asked.address}:{port}"
        return [*options, "--nnodes", nodes, "--rdzv_id", job, "--rdzv_backend", "c10d", "--rdzv_endpoint", endpoint]
    place = ["--nnodes", str(wanted.nodes), "--node_rank", str(asked.node_rank)]
    return [*options, *place, "--master_addr", asked.address, "--master_port", port]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
