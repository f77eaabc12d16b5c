"""Domains: LLaMA-Factory's own loader, called once per data set, and the answers concatenated in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from datasets import concatenate_datasets

from dataflex_core.domains import Domain
from dataflex_core.errors import DataError
from dataflex_core.llamafactory.datasets.index import is_tokenized
from dataflex_core.llamafactory.held_rows import VALIDATION, HeldOut, hold_out
from dataflex_core.llamafactory.loading import Load, Loading, load_known, narrowed, no_sample_left, targets_of
from dataflex_core.llamafactory.traced import Traced, Wanted, summed, together


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedData:
    """Tokenised data: ``module`` as LLaMA-Factory's workflow wants it, domains as ranges of its train set.

    ``merged`` is whether several domains came in one piece, as one. ``rows`` is what is known of the training samples,
    ``target_rows`` of those of each target set: None where nobody knows. ``holdout`` are samples of each domain that
    are kept out of the train set, and ``holdout_rows`` what is known of them.
    """

    module: dict[str, Any]
    domains: tuple[Domain, ...]
    targets: dict[str, Any]
    merged: bool = False
    rows: Traced | None = None
    target_rows: Mapping[str, Traced | None] = field(default_factory=dict)
    holdout: Mapping[str, Any] = field(default_factory=dict)
    holdout_rows: Mapping[str, Traced | None] = field(default_factory=dict)


def load_whole(load: Load, data_args: Any, how: Loading) -> LoadedData:
    """As LLaMA-Factory loads it, in its order: one domain. For runs that leave the order of samples alone."""
    by_column = how.wanted.domain_column is not None
    how = replace(how, wanted=replace(how.wanted, domain_column=None))
    known = load_known(load, data_args, how)
    train, rows = known.module.get("train_dataset"), known.rows
    names = data_args.dataset or ["pool"]
    domain = Domain(name="+".join(names), start=0, size=0 if train is None else len(train))
    if rows is not None:
        rows = replace(rows, dropped=summed([rows.dropped], domain.name), cut=summed([rows.cut], domain.name))
    return LoadedData(
        module=known.module,
        domains=(domain,),
        targets=targets_of(known.module),
        merged=len(names) > 1 or by_column,
        rows=rows,
        target_rows=known.target_rows,
    )


def load_by_domain(load: Load, data_args: Any, how: Loading) -> LoadedData:
    """Each data set of ``dataset`` a domain, each of ``eval_dataset`` a subtask of the target set.

    With a ``domain_column`` its values are the domains, ordered by name, whatever data set they are in. What
    ``val_size`` holds out is the target set where no other is named. The run is evaluated on all evaluation sets;
    ``how.targets`` says which of them are target sets. Raises `DataError` for a data set that leaves no sample, and as
    `hold_out`.
    """
    if is_tokenized(data_args.tokenized_path):
        return _targeted(load_whole(load, data_args, how), how)
    names = list(dict.fromkeys(data_args.dataset or []))
    alone = {name: narrowed(data_args, f"train/{name}", dataset=[name], eval_dataset=None) for name in names}
    unshown = replace(how, wanted=Wanted(), shows=False)
    held = HeldOut() if data_args.eval_dataset else hold_out(load, data_args, alone, unshown)
    parts: list[Any] = []
    told: list[Traced | None] = []
    for name in names:
        known = load_known(held.without(load, name), alone[name], replace(how, shows=how.shows and not parts))
        parts.append(_nonempty(known.module.get("train_dataset"), name, data_args))
        told.append(known.rows)
    train = concatenate_datasets(parts)
    rows = together(told)
    owners = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    if rows is not None and rows.domains is not None:
        values, owners = np.unique(rows.domains.astype(str), return_inverse=True)
        names = values.tolist()
        order = np.argsort(owners, kind="stable")
        train, rows, owners = train.select(order), rows.select(order), owners[order]
    targets, target_rows = _load_targets(load, data_args, unshown)
    made: dict[str, Any] = {}
    if targets:
        each = data_args.eval_on_each_dataset
        made["eval_dataset"] = targets if each else concatenate_datasets(list(targets.values()))
    elif held.known is not None:
        made["eval_dataset"] = targets[VALIDATION] = held.known.module["eval_dataset"]
        target_rows[VALIDATION] = next(iter(held.known.target_rows.values()))
    made["train_dataset"] = train
    sizes = np.bincount(owners, minlength=len(names))
    starts = np.cumsum(sizes) - sizes
    domains = tuple(Domain(name=n, start=int(s), size=int(k)) for n, s, k in zip(names, starts, sizes, strict=True))
    loaded = LoadedData(module=made, domains=domains, targets=targets, rows=rows, target_rows=target_rows)
    return _targeted(loaded, how)


def _targeted(loaded: LoadedData, how: Loading) -> LoadedData:
    """With those target sets alone that are asked for."""
    if lacking := [name for name in how.targets if name not in loaded.targets]:
        held = ", ".join(loaded.targets) or "nothing"
        raise DataError(
            f"dataflex.targets names {lacking[0]}, and the run is evaluated on {held}",
            hint="name data sets of eval_dataset; of data that is tokenised already, set eval_on_each_dataset: true",
        )
    if not how.targets:
        return loaded
    return replace(
        loaded,
        targets={name: loaded.targets[name] for name in how.targets},
        target_rows={name: loaded.target_rows.get(name) for name in how.targets},
    )


def _load_targets(load: Load, data_args: Any, how: Loading) -> tuple[dict[str, Any], dict[str, Traced | None]]:
    targets: dict[str, Any] = {}
    rows: dict[str, Traced | None] = {}
    for name in dict.fromkeys(data_args.eval_dataset or []):
        alone = narrowed(data_args, f"eval/{name}", dataset=None, eval_dataset=[name], eval_on_each_dataset=False)
        known = load_known(load, alone, how)
        targets[name] = _nonempty(known.module.get("eval_dataset"), name, data_args)
        rows[name] = next(iter(known.target_rows.values()), None)
    return targets, rows


def _nonempty(dataset: Any, name: str, data_args: Any) -> Any:
    if dataset is None or len(dataset) == 0:
        raise no_sample_left([name], data_args)
    return dataset
