"""Components of DataFlex 1.x that would compute something else here, and are refused with what to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dataflex_core.errors import InvalidConfig
from dataflex_core.spec import Kind

_REWARD_MODELS = ("reward_model_backend", "reward_backend_params", "reward_model_path")


def refuse_component(kind: Kind, name: str, params: Mapping[str, Any], beside: Collection[str]) -> None:
    """Raise `InvalidConfig` where a component's ``params`` of 1.x ask for what there is not.

    ``beside`` are the parameters that are given in today's keys.
    """
    if (kind, name) == (Kind.SELECTOR, "nice"):
        named = next((key for key in _REWARD_MODELS if params.get(key) is not None), None)
        if named is not None and "reward" not in {*beside, *params}:
            raise InvalidConfig(
                f"selector nice of DataFlex 1.x has {named}, a model that rewards, which there is not here",
                hint="set dataflex.selector.reward: exact-match, rouge-l, or module:function that asks the model",
            )
    if (kind, name) == (Kind.SELECTOR, "icons") and params.get("task_boundaries"):
        raise InvalidConfig(
            f"selector icons of DataFlex 1.x has task_boundaries {params['task_boundaries']} within one data set",
            hint="make each task a data set of its own, and name them all in eval_dataset",
        )
