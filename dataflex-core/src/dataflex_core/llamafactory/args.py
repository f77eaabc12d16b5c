"""The arguments of a run as its configuration writes them: what DataFlex reads of them, by name and type.

Outside this package nothing spells LLaMA-Factory's keys: what is missing here gets a property.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataflex_core.llamafactory.environment import LaunchEnvironment
from dataflex_core.llamafactory.written import (
    ADAPTERS,
    BY_LAYER,
    EVERY_LAYER,
    GATE,
    PRETRAINING,
    is_on,
    whole_number,
)

Args = Mapping[str, Any]
"""LLaMA-Factory's keys and what they are set to."""

LEARNING_RATE = "learning_rate"
MAX_STEPS, RESUME, OVERWRITE = "max_steps", "resume_from_checkpoint", "overwrite_output_dir"
OUTPUT, _RAY_WORKERS = "output_dir", "ray_num_workers"

PLACES = frozenset({OUTPUT, OVERWRITE, RESUME})
"""Where a run writes and from where it goes on: no such key changes what it computes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArgs:
    """A view of ``written``. A key is read, and complained about, when it is asked for."""

    written: Args

    @property
    def model(self) -> str:
        """A folder or a name of the hub. Raises KeyError without one: `checks` has complained before."""
        return str(self.written["model_name_or_path"])

    @property
    def trust_remote_code(self) -> bool:
        """Whether code that comes with a model may be run."""
        return bool(self.written.get("trust_remote_code"))

    @property
    def cutoff_len(self) -> int:
        """The most tokens of a sample."""
        return int(self.written.get("cutoff_len") or 2048)

    @property
    def packs(self) -> bool:
        """Whether several rows are packed in a sample, as pretraining does unless it is told not to."""
        packing = self.written.get("packing")
        by_itself = packing is None and self.written.get("stage") == PRETRAINING
        return by_itself or is_on(packing) or is_on(self.written.get("neat_packing"))

    @property
    def fuses_loss(self) -> bool:
        """Whether Liger's kernels are on, of which one computes the loss without logits."""
        return is_on(self.written.get("enable_liger_kernel"))

    @property
    def datasets(self) -> list[str]:
        """The names in ``dataset``, each once."""
        return dataset_names(self.written.get("dataset"))

    @property
    def keeps_tokens(self) -> bool:
        """Whether token ids are read from a folder, or written to it for later runs."""
        return bool(self.written.get("tokenized_path"))

    @property
    def trains_in_blocks(self) -> bool:
        """Whether BAdam trains one block of layers at a time: what trains then changes as the run goes on."""
        return is_on(self.written.get("use_badam")) and self.written.get("badam_mode", BY_LAYER) == BY_LAYER

    @property
    def trains_gates(self) -> bool:
        """Whether a layer with ``gate`` in its name may train: adapters leave alone what they do not name."""
        if self.written.get("finetuning_type", ADAPTERS) != ADAPTERS:
            return True
        named = [self.written.get("lora_target", EVERY_LAYER), self.written.get("additional_target")]
        return any(name == EVERY_LAYER or GATE in name for names in named for name in listed_names(names))

    @property
    def max_steps(self) -> Any:
        """As it is written; None where it is not."""
        return self.written.get(MAX_STEPS)

    @property
    def epochs(self) -> Any:
        """``num_train_epochs`` as it is written; None where it is not."""
        return self.written.get("num_train_epochs")

    @property
    def output(self) -> Path:
        """The folder that the run writes to: transformers names one where nobody does."""
        return Path(str(self.written.get(OUTPUT) or "./trainer_output")).expanduser()

    @property
    def ray_workers(self) -> int:
        """How many Ray workers train. Raises `InvalidConfig` for what is no number."""
        return whole_number(self.written.get(_RAY_WORKERS, 1), _RAY_WORKERS)

    @property
    def ray_options(self) -> dict[str, Any] | None:
        """``ray.init``'s arguments, as they are written: below the key, or as JSON; None where they are neither."""
        given = self.written.get("ray_init_kwargs")
        try:
            options = json.loads(given) if isinstance(given, str) else given or {}
        except ValueError:
            return None
        return options if isinstance(options, dict) else None

    @property
    def address(self) -> str | None:
        """Where ranks in Ray workers meet, if the configuration says so."""
        said = self.written.get("master_addr")
        return str(said) if said else None

    @property
    def port(self) -> str | None:
        """And on which port, likewise."""
        said = self.written.get("master_port")
        return str(said) if said else None

    def uses_ray(self, env: Mapping[str, str] = os.environ) -> bool:
        """Whether the run asks for Ray workers: by ``use_ray``, else by LLaMA-Factory's environment variable."""
        if "use_ray" in self.written:
            return is_on(self.written["use_ray"])
        return LaunchEnvironment(variables=env).uses_ray


def dataset_dir(args: Args) -> str:
    """The folder of the data and its index, absolute, or what stands there for a place elsewhere."""
    given = str(args.get("dataset_dir", "./data"))
    return given if given == "ONLINE" or given.startswith("REMOTE:") else str(Path(given).absolute())


def dataset_names(value: object) -> list[str]:
    """The names in ``dataset`` or ``eval_dataset``, each once: a list as it is, or text with commas and blanks."""
    return list(dict.fromkeys(listed_names(value)))


def listed_names(value: object) -> list[str]:
    """The same, as often as they are written."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",")]
    return [str(item) for item in value] if isinstance(value, list) else []
