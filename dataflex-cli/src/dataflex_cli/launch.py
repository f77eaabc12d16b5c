"""Where a run's processes come from: this one, or torchrun's when there is more than one."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataflex_core.catalog import Plugins
from dataflex_core.config import RunConfig
from dataflex_core.errors import Interrupted, InvalidConfig, RunFailed
from dataflex_core.llamafactory.devices import device_count

PLUGINS = "plugins.json"
"""Beside a worker's configuration: which plugins it looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """How many processes on how many nodes; ``torchrun`` is whether they need a launcher."""

    per_node: int
    nodes: int
    torchrun: bool

    @property
    def world(self) -> int:
        """All ranks."""
        return self.per_node * self.nodes


def processes(nproc: int | None, env: Mapping[str, str] = os.environ) -> Processes:
    """Read LLaMA-Factory's environment variables; ``--nproc`` wins over ``NPROC_PER_NODE``, that over the devices.

    Raises `InvalidConfig` when a variable is no number.
    """
    nodes = max(1, _integer(env, "NNODES", 1))
    per_node = nproc if nproc is not None else _integer(env, "NPROC_PER_NODE", 0) or max(1, device_count())
    forced = env.get("FORCE_TORCHRUN", "0").lower() in {"1", "true", "y"}
    return Processes(per_node=per_node, nodes=nodes, torchrun=forced or per_node > 1 or nodes > 1)


def torchrun(
    config: RunConfig, wanted: Processes, plugins: Plugins, *, debug: bool, env: Mapping[str, str] = os.environ
) -> None:
    """Train in ``wanted.per_node`` processes on this node. Raises what stopped them, in one error."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args
    from torch.distributed.run import run as elastic_run

    with tempfile.TemporaryDirectory(prefix="dataflex-") as folder:
        task, errors = Path(folder) / "run.json", Path(folder) / "errors"
        task.with_name(PLUGINS).write_text(plugins.to_json(), encoding="utf-8")
        task.write_text(config.to_json(), encoding="utf-8")
        errors.mkdir()
        words = [*rendezvous(wanted, env), "-m", "dataflex_cli.worker", str(task), str(errors)]
        try:
            options = parse_args([*words, "--debug"] if debug else words)  # type: ignore[no-untyped-call]  # in torch
            elastic_run(options)  # type: ignore[no-untyped-call]  # in torch
        except ChildFailedError as error:
            # A rank that was killed says nothing, and the others' connections to it break: that is what they say.
            killed = [(rank, failed.exitcode) for rank, failed in error.failures.items() if _is_killed(failed.exitcode)]
            if not killed and (told := _told(errors)):
                raise told from error
            first, failure = error.get_first_failure()
            rank, code = killed[0] if killed else (first, failure.exitcode)
            raise RunFailed(f"rank {rank} {_ending(code)}", hint="its last lines are above") from error
        except SignalException as error:
            name = signal.Signals(error.sigval).name
            raise _told(errors) or Interrupted(
                f"stopped by {name} before the ranks had written a checkpoint",
                hint="dataflex run … --resume goes on from the last one",
            ) from error


def rendezvous(wanted: Processes, env: Mapping[str, str] = os.environ) -> list[str]:
    """torchrun's options for this node."""
    address = env.get("MASTER_ADDR", "127.0.0.1")
    if wanted.nodes > 1 and "MASTER_PORT" not in env:
        raise InvalidConfig("NNODES is above 1 and MASTER_PORT is not set", hint="set the same MASTER_PORT everywhere")
    port = env.get("MASTER_PORT") or str(_free_port())
    options = ["--nproc_per_node", str(wanted.per_node), "--max_restarts", env.get("MAX_RESTARTS", "0")]
    if (run_id := env.get("RDZV_ID")) is not None:
        low, high = env.get("MIN_NNODES"), env.get("MAX_NNODES")
        nodes = f"{low}:{high}" if low and high else str(wanted.nodes)
        endpoint = f"{address}:{port}"
        return [*options, "--nnodes", nodes, "--rdzv_id", run_id, "--rdzv_backend", "c10d", "--rdzv_endpoint", endpoint]
    rank = str(_integer(env, "NODE_RANK", 0))
    nodes = str(wanted.nodes)
    return [*options, "--nnodes", nodes, "--node_rank", rank, "--master_addr", address, "--master_port", port]


def _told(errors: Path) -> Exception | None:
    """The first error that a rank left."""
    told = sorted(errors.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return _as_error(json.loads(told[0].read_text(encoding="utf-8"))) if told else None


def _is_killed(code: int) -> bool:
    """By somebody else than torchrun, which ends the ranks that are left with SIGTERM."""
    return code < 0 and code != -signal.SIGTERM


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _as_error(told: Mapping[str, object]) -> Exception:
    error = RunFailed(str(told["message"]), hint=None if told["hint"] is None else str(told["hint"]))
    error.exit_code = int(str(told["exit_code"]))
    return error


def _integer(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    if not text.isdigit():
        raise InvalidConfig(f"{name} is {text!r}, not a number", hint=f"unset {name}, or set it to a whole number")
    return int(text)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port
