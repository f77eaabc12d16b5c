"""The components of DataFlex 1.x: their names, and what their parameters are called here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import PurePosixPath
from typing import Annotated, Any

from annotated_types import Gt

from dataflex_core.compat.keys import FAMILIES, OldKeys, typed
from dataflex_core.compat.mixture import equal
from dataflex_core.compat.of_1_1_0 import COMPONENTS, DEFAULTS, SHIPPED
from dataflex_core.compat.refused import refuse_component
from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind
from dataflex_core.wording import did_you_mean

Read = Callable[[str], tuple[str, Mapping[str, Any]] | None]
"""Where a components file is found and what it holds, by the name that the run gives it; None where there is none."""

# What is called otherwise here, beyond its underscores.
_TODAY = {"joint_update_aware": "joint-update"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lost:
    """A parameter without a counterpart: why, and the value that is no loss."""

    why: str
    same: Any = None


_RENAMED = {
    (Kind.SELECTOR, "delta_loss"): {"window_size": "share"},
    (Kind.SELECTOR, "less"): {"gradient_type": "gradient"},
    (Kind.SELECTOR, "loss"): {"focus_weight": "boost"},
    (Kind.SELECTOR, "near"): {"indices_path": "from_file"},
    (Kind.SELECTOR, "tsds"): {"probs_path": "from_file"},
    (Kind.MIXER, "doremi"): {
        "reference_model_path": "reference_model",
        "reweight_eta": "eta",
        "reweight_eps": "smoothing",
    },
    (Kind.MIXER, "dynamic_moe"): {"c": "smoothing"},
    (Kind.WEIGHTER, "joint_update_aware"): {
        "fixed_point_iters": "iterations",
        "damping": "rho",
        "objective_mode": "objective",
    },
    (Kind.SELECTOR, "cluster_less"): {
        "gradient_type": "gradient",
        "embedding_layer": "layer",
        "embedding_model_name_or_path": "embedding_model",
    },
    (Kind.SELECTOR, "icons"): {"gradient_type": "gradient"},
    (Kind.SELECTOR, "nice"): {"gradient_type": "gradient", "generation_temperature": "temperature"},
}
# Parameters that belong to the run here, by their keys in its section.
_OF_SECTION = {
    (Kind.WEIGHTER, "adapt"): {"refresh_interval": "update_steps"},
    (Kind.WEIGHTER, "joint_update_aware"): {"target_update_step": "update_steps"},
}
# What is computed otherwise than in 1.x, whatever the parameters.
_DIFFERS = {
    (Kind.SELECTOR, "delta_loss"): "decision t + 1 of T has its window at t/T; in 1.x at t/(T - 1)",
    (Kind.SELECTOR, "near"): "what was chosen goes last at later decisions; in 1.x each decision is the same",
    (Kind.MIXER, "doremi"): (
        "excess losses count as in the paper, a domain that was not drawn keeps its last, and losses are weighed by "
        "alpha over what is sampled; 1.x took their mean off and clipped what was left, of one batch a decision, and "
        "weighed by alpha, of sum one, which divided the learning rate by the number of domains"
    ),
    (Kind.MIXER, "odm"): (
        "rewards are the raw losses of every step, by domain, as in the paper; 1.x scaled the loss of the last batch "
        "before a decision by 15, gave it to the domain of its first sample, clipped, and kept .03 for each domain"
    ),
    (Kind.MIXER, "dynamic_moe"): (
        "loads are those of all layers, of samples drawn anew from the pool; 1.x took the last layer's gate_load, of "
        "mixer_eval_dataset or of samples set aside, and equal loads of a model that gives none"
    ),
    (Kind.WEIGHTER, "adapt"): (
        "the weights of a step have a mean of one here; 1.x did not normalise them, which halved the learning rate"
    ),
    (Kind.WEIGHTER, "joint_update_aware"): (
        "the weights of a step are those of its whole accumulation window, and of all of the target set"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """What 1.x's dynamic_moe takes its samples by: batches, their size, and how many it sets aside."""

    collect_steps: Annotated[int, Gt(0)] = 10
    eval_batch_size: Annotated[int, Gt(0)] = 32
    eval_samples: Annotated[int, Gt(0)] = 1000


_REFERENCES = {"reference_model", "reference_model_path"}
_REQUIRED = "a reference model is required here, name one; without one 1.x went by the losses themselves"
_BATCHES = _Lost(why="dataflex.token_budget bounds a batch of losses")
_SEED = _Lost(why="the run's own seed (data_seed, or seed) decides")
_ONCE = _Lost(why="samples are drawn without replacement", same=False)
_EXACT = _Lost(why="scores are exact, without a projection")
_REWARDED = _Lost(why="reward says what rewards a completion")
_TRAINED = _Lost(why="the losses are those of training")
_EVERYWHERE = {
    "cache_dir": _Lost(why="decisions are kept in output_dir/dataflex"),
    "save_interval": _Lost(why="dataflex.flush_seconds says how often results are written"),
}
_LOST = {
    (Kind.SELECTOR, "delta_loss"): {"score_batch_size": _BATCHES, "score_num_workers": _BATCHES},
    (Kind.SELECTOR, "less"): {"proj_dim": _Lost(why="scores are exact, without a projection"), "seed": _SEED},
    (Kind.SELECTOR, "loss"): {
        "replacement": _ONCE,
        "quantiles": _Lost(why="the bands are cut at .33 and .66", same=[0.33, 0.66]),
        "score_batch_size": _BATCHES,
        "score_num_workers": _BATCHES,
    },
    (Kind.MIXER, "odm"): {
        "warmup_steps": _Lost(why="dataflex.warmup_steps says how long it is"),
        "initial_proportions": _Lost(why="dataflex.warmup_proportions are those of the warm-up"),
        "num_eval_samples": _TRAINED,
        "eval_batch_size": _TRAINED,
        "reward_scale": _Lost(why="rewards are the losses, as in the paper", same=1.0),
        "min_exploration_rate": _Lost(why="exploration falls as in the paper, without a floor", same=0.0),
    },
    (Kind.SELECTOR, "random"): {"seed": _SEED, "replacement": _ONCE},
    (Kind.SELECTOR, "cluster_less"): {
        "proj_dim": _Lost(why="gradients are projected to 8192 numbers"),
        "seed": _SEED,
        "num_clusters": _Lost(why="cluster_size says how many there are"),
        "clustering_batch_size": _BATCHES,
        "assignment_chunk_size": _Lost(why="scikit-learn bounds what lies in memory"),
        "clustering_max_iter": _Lost(why="k-means makes 20 rounds at most", same=20),
        "clustering_method": _Lost(why="clusters are made by k-means", same="kmeans"),
        "lsh_num_bits": _Lost(why="clusters are made by k-means"),
        "representative_strategy": _Lost(why="the samples nearest to its centre stand for a cluster"),
        "embedding_model_dtype": _Lost(why="a frozen model computes as its files say", same="auto"),
    },
    (Kind.SELECTOR, "icons"): {"proj_dim": _EXACT, "seed": _SEED, "task_boundaries": _Lost(why="refused before")},
    (Kind.SELECTOR, "nice"): {
        "proj_dim": _EXACT,
        "seed": _SEED,
        "max_prompt_length": _Lost(why="cutoff_len bounds a prompt"),
        "prompt_template": _Lost(why="prompts are those of the run's template"),
        "policy_model_path": _Lost(why="completions are those of the model in training"),
        "reward_prompt_with_ref": _REWARDED,
        "reward_prompt_without_ref": _REWARDED,
        "reward_model_backend": _REWARDED,
        "reward_backend_params": _REWARDED,
        "reward_model_path": _REWARDED,
    },
    (Kind.WEIGHTER, "adapt"): {"anchor_batch_size": _BATCHES, "eps": _Lost(why="nothing is divided by it")},
    (Kind.WEIGHTER, "joint_update_aware"): {
        "target_batch_size": _BATCHES,
        "target_num_batches": _Lost(why="the whole target set is asked about", same=0),
        "embed_normalize": _Lost(why="embeddings have length one", same=True),
        "pooling": _Lost(why="embeddings are means of hidden states, the t-th token weighing t"),
        "embed_layer": _Lost(why="embeddings are of the last layer", same=-1),
    },
    (Kind.MIXER, "random"): {
        "seed": _Lost(why="proportions are drawn afresh at each decision, from the run's own seed")
    },
}


def today(name: str) -> str:
    """How a component's name is written here."""
    return _TODAY.get(name, name.replace("_", "-"))


def is_of_old(kind: Kind, name: str) -> bool:
    """Whether 1.x has a component of that kind and name, in its spelling or in ours."""
    known = {spelt for old in COMPONENTS[kind].split() for spelt in (old, old.replace("_", "-"), today(old))}
    return name in known


def what_to_do(name: str) -> str:
    """What to do about a component of 1.x that nobody offers here."""
    if name == "custom":
        return "it is code of your own: dataflex new writes a plugin to put it into"
    return "dataflex list-strategies shows what is installed"


def component(
    old: OldKeys, kind: Kind, domains: Sequence[str], read: Read, *, beside: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """The strategy that ``old`` names, with parameters as they are called here; what goes into the section; notices.

    ``beside`` are the parameters that are given in today's keys. Parameters of names that are not offered here go
    through as they are. Raises `InvalidConfig` for a component that its file does not have, and for one that would
    compute something else here.
    """
    shipped = {name: params for (of, name), params in SHIPPED.items() if of is kind}
    name, found, notices = written(old, shipped, read)
    params = {**DEFAULTS.get((kind, name), {}), **found}
    refuse_component(kind, name, params, beside)
    if (kind, name) == (Kind.SELECTOR, "nice") and "reward" not in {*beside, *params}:
        notices = (*notices, "reward of selector nice: exact-match, for none is named")
    if (kind, name) == (Kind.MIXER, "doremi") and not _REFERENCES & {*beside, *_given(params)}:
        notices = (*notices, f"reference_model_path of {kind} {name}: {_REQUIRED}")
    moved = _OF_SECTION.get((kind, name), {})
    made, lost = _params(kind, name, {key: value for key, value in params.items() if key not in moved}, domains)
    return made, {moved[key]: params[key] for key in moved if key in params}, (*notices, *lost)


def _given(params: Mapping[str, Any]) -> set[str]:
    return {key for key, value in params.items() if value is not None}


def written(
    old: OldKeys, shipped: Mapping[str, Mapping[str, Any]], read: Read
) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    """The name and the parameters of the component that ``old`` names, as its file has them; and notices.

    ``shipped`` are the parameters of those that came with 1.1.0, whose file need not be there. Raises `InvalidConfig`
    for a component that its file does not have.
    """
    family = FAMILIES[old.train_type]
    if old.component_name is None:
        raise InvalidConfig(
            f"{old.train_type} needs component_name", hint=f"set it to a {family} of components_cfg_file"
        )
    file, name = old.components_cfg_file, old.component_name
    found = read(file)
    if found is not None:
        return *_entry(*found, family, name, shipped), ()
    if _is_shipped(file):
        said = f"{file} does not exist: {name} runs as in the file that came with 1.1.0"
        return name, shipped.get(name, {}), (said,)
    hint = "it is looked for in the working directory and beside the configuration"
    raise InvalidConfig(f"components_cfg_file {file} does not exist", hint=hint)


def _entry(
    file: str, held: Mapping[str, Any], family: str, name: str, shipped: Mapping[str, Any]
) -> tuple[str, Mapping[str, Any]]:
    """The name and the parameters of one component of a file.

    1.1.0 goes by the key: a name inside counts only where the key is no component of its.
    """
    # 1.x had another name for its reorders, and reads it still.
    buckets = {each: held.get(f"{each}s") or held.get(f"{each}ers") or {} for each in FAMILIES.values()}
    if odd := next((f"{each}s" for each, bucket in buckets.items() if not isinstance(bucket, Mapping)), None):
        raise InvalidConfig(f"{file}: {odd} is no section", hint="write 'NAME: {name: NAME, params: {...}}' below it")
    if name not in buckets[family]:
        others = [f"train_type {train_type}" for train_type, other in FAMILIES.items() if name in buckets[other]]
        hint = f"{name} there is for {' or '.join(others)}" if others else did_you_mean(name, buckets[family])
        raise InvalidConfig(f"{file} has no {family} {name!r}", hint=hint)
    entry = buckets[family][name] or {}
    params = entry.get("params") or {} if isinstance(entry, Mapping) else None
    if not isinstance(params, Mapping):
        raise InvalidConfig(f"{file}: {family}s.{name} is no component", hint="write name: and params: below it")
    return name if name in shipped else str(entry.get("name") or name), params


def _is_shipped(file: str) -> bool:
    return PurePosixPath(file).parts[-2:] == ("configs", "components.yaml")


def _params(
    kind: Kind, name: str, params: Mapping[str, Any], domains: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    here = (kind, name)
    lost = {**_EVERYWHERE, **_LOST.get(here, {})}
    notices = [
        f"{key} of {kind} {name}: without effect, {lost[key].why}"
        for key, value in params.items()
        if key in lost and value != lost[key].same
    ]
    if here in _DIFFERS:
        notices.append(f"{kind} {name}: {_DIFFERS[here]}")
    renamed = _RENAMED.get(here, {})
    kept = {renamed.get(key, key): value for key, value in params.items() if key not in lost}
    if here == (Kind.MIXER, "dynamic_moe"):
        probe = typed(_Probe, kept, f"{kind} {name}")
        kept = {key: value for key, value in kept.items() if key not in {field.name for field in fields(_Probe)}}
        kept["probe"] = min(probe.collect_steps * probe.eval_batch_size, probe.eval_samples)
    if here == (Kind.MIXER, "static") and kept.get("proportions") is None:
        kept["proportions"] = equal(domains)
    if here == (Kind.MIXER, "doremi") and kept.get("reference_model") is None:
        kept.pop("reference_model", None)
    if here == (Kind.WEIGHTER, "loss") and kept.get("strategy") == "uniform":
        notices.append("strategy uniform of weighter loss: every sample weighs the same; 1.x's weights follow the loss")
        return {"name": "uniform"}, notices
    if kept.get("objective") == "uniform":
        notices.append(f"objective_mode uniform of weighter {name}: every sample weighs the same")
        return {"name": "uniform"}, notices
    return {"name": today(name), **kept}, notices
