"""What a configuration asks for and a run with strategies does otherwise: refused where it matters, else remarked on.

A remark is an error that nobody raises: a sentence, what to do, and the key that it is about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dataflex_core.config.section import SECTION, DataflexConfig, RunConfig
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed, UsageError
from dataflex_core.finite import MOST
from dataflex_core.llamafactory.args import MAX_STEPS, Args, RunArgs, listed_names
from dataflex_core.llamafactory.packages import TRACKERS
from dataflex_core.llamafactory.written import is_on, number
from dataflex_core.others_files import json_of
from dataflex_core.packages import Package
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

_PLANNING = (Kind.SELECTOR, Kind.MIXER)
_DECIDED = "the strategies decide what is trained on next"
_FED = "an interval's batches are planned, all of them full"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unheard:
    """Why a key goes unheard beside a selector or a mixer; ``silent`` are the values that ask for nothing."""

    why: str
    silent: tuple[object, ...] = (None, False)


_UNHEARD: Mapping[str, _Unheard] = {
    "mix_strategy": _Unheard(why="a mixer decides how domains are mixed, or their sizes do", silent=(None, "concat")),
    "interleave_probs": _Unheard(why="a mixer decides how domains are mixed, or their sizes do", silent=(None,)),
    "disable_shuffling": _Unheard(why=_DECIDED),
    "train_sampling_strategy": _Unheard(why=_DECIDED, silent=(None, "random")),
    "group_by_length": _Unheard(why=_DECIDED),
    "sortish_sampler": _Unheard(why=_DECIDED),
    "length_column_name": _Unheard(why=_DECIDED, silent=(None, "length")),
    "dataloader_drop_last": _Unheard(why=_FED),
    "dataloader_persistent_workers": _Unheard(why="workers last for an interval"),
    "ignore_data_skip": _Unheard(why="a run goes on with the very next sample, and skips none"),
}
_LOADING = ("dispatch_batches", "even_batches", "use_seedable_sampler")  # of accelerator_config

_WITH_TABLES = ("tensorboard", "wandb", "mlflow")
# What keys of our own section need: any of these kinds.
_OF_KINDS: Mapping[str, Collection[Kind]] = {
    "candidates": (Kind.SELECTOR,),
    "selection_budget": (Kind.SELECTOR,),
    "exact": (Kind.SELECTOR,),
    "exact_floor": (Kind.SELECTOR,),
    "features": (Kind.SELECTOR,),
    "spread": (Kind.SELECTOR,),
    "exhaustion": _PLANNING,
    "warmup_proportions": _PLANNING,
    "unit": (Kind.MIXER,),
    "targets": _PLANNING,
}


def check_asked(config: RunConfig) -> Iterator[UsageError]:
    """What matters too much to be passed over. Nothing of a run without a strategy."""
    args, active = config.args, config.dataflex.active
    if any(kind in active for kind in _PLANNING):
        for key in ("dataset", "eval_dataset"):
            names = listed_names(args.get(key))
            for name in dict.fromkeys(each for each in names if names.count(each) > 1):
                hint = "name it once; a mixer gives a domain more weight"
                yield DataError(f"{key} names {name} {names.count(name)} times", hint=hint, key=[key])
    if any(kind in active for kind in _PLANNING) and not args.get("tokenized_path"):
        held = list(dict.fromkeys(listed_names(args.get("eval_dataset"))))
        for name in config.dataflex.targets:
            if name not in held:
                said = f"{SECTION}.targets names {name}, which is not in eval_dataset"
                yield InvalidConfig(said, hint=did_you_mean(name, held), key=[SECTION, "targets"])
    if active and _accelerating(args).get("split_batches"):
        hint = "leave it out, and set per_device_train_batch_size to each device's share"
        said = "accelerator_config: split_batches changes the batch that an interval is planned for"
        yield UnmetNeed(said, hint=hint, key=["accelerator_config"])
    if config.dataflex.report_texts is not None and not config.dataflex.keep.texts:
        said = f"{SECTION}.report_texts shows texts of samples in trackers, and {SECTION}.keep says texts: false"
        yield InvalidConfig(said, hint="leave out one of them", key=[SECTION, "report_texts"])
    if args.get("eval_dataset") and number(args.get("val_size")) > 0:
        hint = "set one of them"
        yield InvalidConfig("val_size and eval_dataset exclude each other", hint=hint, key=["val_size"])


def remarks(config: RunConfig) -> Iterator[UsageError]:
    """What goes unheard, or means less than it seems to, in a run that is possible. Nothing without a strategy."""
    active = config.dataflex.active
    if not active:
        return
    yield from _unheard_keys(config)
    yield from _unheard_section(config.dataflex)
    if config.dataflex.report_texts is not None and not _shows_texts(config.args):
        said = f"{SECTION}.report_texts has no effect: report_to names no tracker with tables of text"
        hint = f"report_to: one of {', '.join(_WITH_TABLES)}"
        yield InvalidConfig(said, hint=hint, key=[SECTION, "report_texts"])
    yield from _lengths(config)
    yield from _trained_targets(config.args)
    if config.args.get("flash_attn") == "fa2" and (why := Package(requirement="flash-attn").missing) is not None:
        said = f"flash_attn: fa2 is asked for, and flash-attn {why}: the model takes torch's attention"
        yield UnmetNeed(said, hint="pip install flash-attn", key=["flash_attn"])
    if config.args.get("report_to") in ("all", ["all"]) and not _has_tracker():
        said = "report_to: all finds no integration that is installed: nothing is reported"
        yield UnmetNeed(said, hint="pip install tensorboard, or another one", key=["report_to"])


def _unheard_keys(config: RunConfig) -> Iterator[UsageError]:
    kind = next((kind for kind in _PLANNING if kind in config.dataflex.active), None)
    if kind is None:
        return
    for key, unheard in _UNHEARD.items():
        value = config.args.get(key)
        if value not in unheard.silent and (value is not None and (not isinstance(value, str) or is_on(value))):
            yield InvalidConfig(f"{key} has no effect beside a {kind}: {unheard.why}", hint="leave it out", key=[key])
    for key in _LOADING:
        if key in _accelerating(config.args):
            said = f"accelerator_config: {key} has no effect beside a {kind}: {_FED}"
            yield InvalidConfig(said, hint="leave it out", key=["accelerator_config"])


def _unheard_section(section: DataflexConfig) -> Iterator[UsageError]:
    for field in fields(DataflexConfig):
        needed = _OF_KINDS.get(field.name, ())
        if needed and getattr(section, field.name) != field.default and not set(needed) & set(section.active):
            said = f"{SECTION}.{field.name} has no effect without a {' or a '.join(needed)}"
            yield InvalidConfig(said, hint="leave it out", key=[SECTION, field.name])


def _lengths(config: RunConfig) -> Iterator[UsageError]:
    """Steps that are not trained, and a learning rate that is still rising as the run ends."""
    section, args = config.dataflex, config.args
    written = number(args.get(MAX_STEPS))
    steps = int(written) if 0 < written <= MOST else None
    if section.updates is not None:
        total = section.warmup_steps + section.updates * section.update_steps
        for key in (MAX_STEPS, "num_train_epochs"):
            if number(args.get(key)) > 0 and not (key == MAX_STEPS and steps == total):
                said = f"{key} has no effect beside {SECTION}.updates: the run has {total} steps"
                yield InvalidConfig(said, hint="leave out one of them", key=[key])
        steps = total
    elif steps is not None and number(args.get("num_train_epochs")) > 0:
        said = f"num_train_epochs has no effect beside {MAX_STEPS}: the run has {steps} steps"
        yield InvalidConfig(said, hint="leave out one of them", key=["num_train_epochs"])
    rising = number(args.get("warmup_steps"))
    if steps is not None and rising >= max(steps, 1):
        said = f"warmup_steps is {rising:g}, and the run has {steps} steps: the learning rate rises to the end"
        yield InvalidConfig(said, hint="lower warmup_steps", key=["warmup_steps"])


def _trained_targets(args: Args) -> Iterator[UsageError]:
    """Data sets of the target set that are trained on, too: by name, or by where their samples come from."""
    index = _index(args)
    trained = {name: _origin(index.get(name)) for name in RunArgs(written=args).datasets}
    for name in dict.fromkeys(listed_names(args.get("eval_dataset"))):
        origin = _origin(index.get(name))
        same = name if name in trained else next((n for n, o in trained.items() if o is not None and o == origin), None)
        if same is not None:
            also = "" if same == name else f" as {same}"
            hint = "hold samples out with val_size, or name another data set"
            said = f"eval_dataset {name} is also trained on{also}"
            yield DataError(said, hint=hint, key=["eval_dataset"])


def _index(args: Args) -> Mapping[str, Any]:
    try:
        index = json_of((Path(str(args.get("dataset_dir", "data"))) / "dataset_info.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _origin(entry: Any) -> Any:
    """Where a data set's samples come from; None where that is not said."""
    if not isinstance(entry, Mapping):
        return None
    kept = {key: value for key, value in entry.items() if key.endswith(("_url", "_name")) or key in ("subset", "split")}
    return kept or None


def _accelerating(args: Args) -> Mapping[str, Any]:
    given = args.get("accelerator_config")
    return given if isinstance(given, Mapping) else {}


def _shows_texts(args: Args) -> bool:
    return bool({*_WITH_TABLES, "all"} & set(listed_names(args.get("report_to"))))


def _has_tracker() -> bool:
    needed = [groups for groups in TRACKERS.values() if groups]
    return any(all(any(package.missing is None for package in group) for group in groups) for groups in needed)
