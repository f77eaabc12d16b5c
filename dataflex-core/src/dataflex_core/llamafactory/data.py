"""Domains: LLaMA-Factory's own loader, called once per data set, and the answers concatenated in order."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets

from dataflex_core.domains import Domain
from dataflex_core.errors import DataError

Load = Callable[[Any], dict[str, Any]]
"""LLaMA-Factory's ``get_dataset``, with everything but the data arguments given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedData:
    """Tokenised data: ``module`` as LLaMA-Factory's workflow wants it, domains as ranges of its train set.

    ``merged`` is whether several data sets came in one piece, as one domain.
    """

    module: dict[str, Any]
    domains: tuple[Domain, ...]
    targets: dict[str, Any]
    merged: bool = False


def load_whole(load: Load, data_args: Any, *, seed: int) -> LoadedData:
    """As LLaMA-Factory loads it, in its order: one domain. For runs that leave the order of samples alone."""
    module = load(data_args)
    train = module.get("train_dataset")
    names = data_args.dataset or ["pool"]
    domain = Domain(name="+".join(names), start=0, size=0 if train is None else len(train))
    return LoadedData(module=module, domains=(domain,), targets=_targets(module), merged=len(names) > 1)


def load_by_domain(load: Load, data_args: Any, *, seed: int) -> LoadedData:
    """Each data set of ``dataset`` a domain, each of ``eval_dataset`` a subtask of the target set.

    A share or number of samples held out by ``val_size`` is drawn from all domains together, as LLaMA-Factory does.
    Raises `DataError` for a data set that leaves no sample.
    """
    if _is_tokenized(data_args):
        return load_whole(load, data_args, seed=seed)
    names = list(dict.fromkeys(data_args.dataset or []))
    loaded = [load(_narrowed(data_args, f"train/{name}", dataset=[name], eval_dataset=None)) for name in names]
    parts = [
        _nonempty(module.get("train_dataset"), name, data_args) for name, module in zip(names, loaded, strict=True)
    ]
    train = concatenate_datasets(parts)
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    targets = _load_targets(load, data_args)
    module: dict[str, Any] = {}
    if targets:
        each = data_args.eval_on_each_dataset
        module["eval_dataset"] = targets if each else concatenate_datasets(list(targets.values()))
    elif data_args.val_size > 1e-6:
        train, owners, held_out = _held_out(train, owners, data_args.val_size, seed)
        module["eval_dataset"] = targets["validation"] = held_out
    module["train_dataset"] = train
    sizes = np.bincount(owners, minlength=len(names))
    starts = np.cumsum(sizes) - sizes
    domains = tuple(Domain(name=n, start=int(s), size=int(k)) for n, s, k in zip(names, starts, sizes, strict=True))
    return LoadedData(module=module, domains=domains, targets=targets)


def _load_targets(load: Load, data_args: Any) -> dict[str, Any]:
    targets: dict[str, Any] = {}
    for name in dict.fromkeys(data_args.eval_dataset or []):
        narrowed = _narrowed(data_args, f"eval/{name}", dataset=None, eval_dataset=[name], eval_on_each_dataset=False)
        targets[name] = _nonempty(load(narrowed).get("eval_dataset"), name, data_args)
    return targets


def _held_out(train: Dataset, owners: Any, size: float, seed: int) -> tuple[Dataset, Any, Dataset]:
    """Split as LLaMA-Factory splits, and keep each domain contiguous."""
    positions = Dataset.from_dict({"position": np.arange(len(train))})
    split = positions.train_test_split(test_size=int(size) if size > 1 else size, seed=seed)
    kept = np.sort(np.asarray(split["train"]["position"]))
    return train.select(kept), owners[kept], train.select(split["test"]["position"])


def _nonempty(dataset: Any, name: str, data_args: Any) -> Any:
    if dataset is None or len(dataset) == 0:
        raise no_sample_left([name], data_args)
    return dataset


def no_sample_left(names: Sequence[str], data_args: Any) -> DataError:
    """The error for data sets of which nothing remains after tokenising, and packing."""
    how = "packing to" if data_args.packing else "tokenising to"
    return DataError(
        f"data set {', '.join(names)} has no sample left after {how} cutoff_len {data_args.cutoff_len}",
        hint="lower cutoff_len, set packing: false, or check the columns in dataset_info.json",
    )


def _narrowed(data_args: Any, part: str, **changes: Any) -> Any:
    # copy, not dataclasses.replace: that would run __post_init__ again, which shortens cutoff_len when packing.
    narrowed = copy.copy(data_args)
    narrowed.val_size = 0.0
    if data_args.tokenized_path is not None:
        # Beside the folder, not in it: LLaMA-Factory takes any folder that is not empty for a data set it saved.
        narrowed.tokenized_path = str(Path(f"{Path(data_args.tokenized_path)}-dataflex") / part)
    for key, value in changes.items():
        setattr(narrowed, key, value)
    return narrowed


def _is_tokenized(data_args: Any) -> bool:
    """Whether LLaMA-Factory saved this data whole; what we saved by domain lies beside it."""
    path = data_args.tokenized_path
    return path is not None and Path(path).is_dir() and any(Path(path).iterdir())


def _targets(module: dict[str, Any]) -> dict[str, Any]:
    held = module.get("eval_dataset")
    if held is None:
        return {}
    return dict(held) if isinstance(held, dict) else {"eval": held}
