"""The environment variables that LLaMA-Factory and its launcher read, and that mean here what they mean there."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from dataflex_core.llamafactory.written import is_on, whole_number

_NODES, _PER_NODE, _NODE_RANK, _FORCED = "NNODES", "NPROC_PER_NODE", "NODE_RANK", "FORCE_TORCHRUN"
_ADDRESS, _PORT, _RAY, _MCA = "MASTER_ADDR", "MASTER_PORT", "USE_RAY", "USE_MCA"
_RESTARTS, _JOB, _FEWEST_NODES, _MOST_NODES = "MAX_RESTARTS", "RDZV_ID", "MIN_NNODES", "MAX_NNODES"
_EXTRA_ARGS, _VERBOSITY = "ALLOW_EXTRA_ARGS", "LLAMAFACTORY_VERBOSITY"

VARIABLES = frozenset(
    {_NODES, _PER_NODE, _NODE_RANK, _FORCED, _ADDRESS, _PORT, _RAY, _RESTARTS, _JOB, _FEWEST_NODES, _MOST_NODES}
    | {_EXTRA_ARGS, _VERBOSITY}
)
"""Every variable that this module names."""

WARNING_LINES = ("[WARNING", "[ERROR", "[CRITICAL")
"""How those lines of its log begin that are warnings or worse."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchEnvironment:
    """What ``variables`` ask of a launch. Each is read when it is asked for; numbers raise `InvalidConfig`."""

    variables: Mapping[str, str]

    @property
    def nodes(self) -> int:
        """How many machines train, at least 1."""
        return max(1, self._number(_NODES, 1))

    @property
    def node_rank(self) -> int:
        """Which of them this is."""
        return self._number(_NODE_RANK, 0)

    @property
    def processes_per_node(self) -> int:
        """How many processes are to train on each machine; 0 where nothing is said."""
        return self._number(_PER_NODE, 0)

    @property
    def forces_torchrun(self) -> bool:
        """Whether torchrun is wanted for a single process, too."""
        return self.variables.get(_FORCED, "0").lower() in {"1", "true", "y"}

    @property
    def uses_ray(self) -> bool:
        """Whether Ray workers are wanted, where the configuration does not say."""
        return is_on(self.variables.get(_RAY))

    @property
    def uses_mca(self) -> bool:
        """Whether LLaMA-Factory is to train with Megatron: no key of the configuration says so."""
        return is_on(self.variables.get(_MCA))

    @property
    def address(self) -> str:
        """Where the ranks meet."""
        return self.variables.get(_ADDRESS, "127.0.0.1")

    @property
    def port(self) -> str | None:
        """And on which port; None where nothing is said."""
        return self.variables.get(_PORT)

    @property
    def max_restarts(self) -> str:
        """How often torchrun starts the ranks again."""
        return self.variables.get(_RESTARTS, "0")

    @property
    def elastic_job(self) -> str | None:
        """The name of a job whose machines come and go; None for one of a fixed number of machines."""
        return self.variables.get(_JOB)

    def elastic_nodes(self, nodes: int) -> str:
        """``MIN:MAX`` machines of an elastic job, or ``nodes`` where no bounds are set."""
        low, high = self.variables.get(_FEWEST_NODES), self.variables.get(_MOST_NODES)
        return f"{low}:{high}" if low and high else str(nodes)

    def _number(self, name: str, default: int) -> int:
        value = self.variables.get(name)
        return default if value is None else whole_number(value, name)


def ray_rank(rank: int, world: int, *, address: str, port: str) -> dict[str, str]:
    """The variables of a rank that a Ray worker starts: of all devices it sees its own, and it starts no Ray."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        _ADDRESS: address,
        _PORT: port,
        _RAY: "0",
    }


def allows_extra_args(env: Mapping[str, str] = os.environ) -> bool:
    """Whether keys that LLaMA-Factory does not know are let through."""
    return is_on(env.get(_EXTRA_ARGS))


def log_from(level: str, env: MutableMapping[str, str] = os.environ) -> None:
    """Have LLaMA-Factory log ``level`` and above in this process and its children, unless somebody chose already."""
    env.setdefault(_VERBOSITY, level)


def logs_details(env: Mapping[str, str] = os.environ) -> bool:
    """Whether it logs more than warnings."""
    return env.get(_VERBOSITY, "INFO").upper() in {"DEBUG", "INFO", "NOTSET"}
