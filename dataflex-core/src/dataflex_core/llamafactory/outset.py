"""What a run has to work with: its data by domain, and the budget that comes of them."""

from __future__ import annotations

from typing import Any

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.args import RunArgs
from dataflex_core.llamafactory.checks import is_dense
from dataflex_core.llamafactory.data import LoadedData, load_by_domain, load_whole
from dataflex_core.llamafactory.environment import logs_details
from dataflex_core.llamafactory.holdout import held_out
from dataflex_core.llamafactory.loading import Load, Loading
from dataflex_core.llamafactory.model_size import experts_of_model, layers_of_model
from dataflex_core.llamafactory.traced import Wanted
from dataflex_core.planning.budget import Budget, budget_of
from dataflex_core.planning.units import mean_tokens_of
from dataflex_core.prepared import MIXER, PreparedRun
from dataflex_core.scoring.batching import target_tokens_of
from dataflex_core.spec import Need


def load_data(prepared: PreparedRun, load: Load, data_args: Any, training_args: Any) -> LoadedData:
    """The data, by domain where strategies plan, without what is held out.

    Raises `DataError` where a mixer gets no domains, and as `held_out`.
    """
    by = load_by_domain if prepared.plans else load_whole
    loaded = by(load, data_args, how_to_load(prepared, training_args))
    if loaded.merged and MIXER in prepared.strategies:
        raise DataError(
            f"a mixer needs domains, and tokenized_path holds {loaded.domains[0].name} in one piece",
            hint="point tokenized_path at a folder that does not exist yet",
        )
    return held_out(loaded, prepared.config.dataflex.holdout)


def how_to_load(prepared: PreparedRun, training_args: Any) -> Loading:
    """With the columns that the configuration names; a sample is printed where more than warnings are logged."""
    config = prepared.config.dataflex
    wanted = Wanted(columns=config.columns, domain_column=config.domain_column)
    return Loading(
        seed=training_args.seed,
        wanted=wanted,
        targets=config.targets,
        saves=training_args.should_save,
        shows=logs_details(),
    )


def outline(prepared: PreparedRun, loaded: LoadedData, training_args: Any, *, ranks: int) -> Budget:
    """What the run has to work with, on ``ranks`` ranks. Raises a `UsageError` for what cannot be."""
    _check_experts(prepared)
    return budget_of(
        prepared,
        domains=loaded.domains,
        targets={name: len(data) for name, data in loaded.targets.items()},
        holdout={name: len(data) for name, data in loaded.holdout.items()},
        # Not train_batch_size, which counts all devices that a process sees: a rank has one of them.
        global_batch=training_args.per_device_train_batch_size * training_args.gradient_accumulation_steps * ranks,
        micro_batches=training_args.gradient_accumulation_steps,
        max_steps=training_args.max_steps,
        epochs=training_args.num_train_epochs,
        drop_last=training_args.dataloader_drop_last,
        layers=layers_of_model(RunArgs(written=prepared.config.args)) if _asks_for_layers(prepared) else None,
        mean_tokens=_mean_tokens(prepared, loaded),
    )


def _mean_tokens(prepared: PreparedRun, loaded: LoadedData) -> tuple[float, ...] | None:
    """Of each domain, where a mixer's proportions are shares of target tokens: all labels are looked at once."""
    if prepared.config.dataflex.unit == "samples" or MIXER not in prepared.strategies:
        return None
    return mean_tokens_of(loaded.domains, target_tokens_of(loaded.module["train_dataset"]))


def _asks_for_layers(prepared: PreparedRun) -> bool:
    return any(chosen.record.spec.cost_of is not None for chosen in prepared.strategies.values())


def _check_experts(prepared: PreparedRun) -> None:
    """Whether a model of the hub has experts, where a strategy asks for them: it has been fetched by now."""
    asking = next((chosen for chosen in prepared.strategies.values() if Need.EXPERT_LOADS in chosen.needs), None)
    args = RunArgs(written=prepared.config.args)
    if asking is not None and experts_of_model(args) == 0:
        raise is_dense(asking.record.spec, args.model)
