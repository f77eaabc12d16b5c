"""What is asked of LLaMA-Factory where the pool is judged and nothing is trained, and which checkpoints judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dataflex_core.config.section import RunConfig
from dataflex_core.judging import Judge, Judging
from dataflex_core.llamafactory.args import OVERWRITE, RESUME
from dataflex_core.trainer.checkpoint_files import has_optimizer, step_of

_UNWANTED = frozenset(
    {
        RESUME,
        "do_eval",
        "do_predict",
        "eval_on_start",
        "eval_strategy",
        "evaluation_strategy",
        "early_stopping_steps",
        "load_best_model_at_end",
        "plot_loss",
        "push_to_hub",
        "use_swanlab",
    }
)
"""What is only about training."""


def for_judging(config: RunConfig, judging: Judging) -> RunConfig:
    """The configuration of a run that judges with its selector and writes nothing but what `judging` says."""
    args = {key: value for key, value in config.args.items() if key not in _UNWANTED}
    args |= {"output_dir": str(judging.work), OVERWRITE: True, "report_to": "none", "save_strategy": "no"}
    section = replace(
        config.dataflex,
        mixer=None,
        weighter=(),
        warmup_steps=0,
        update_steps=1,
        updates=1,
        candidates="all",
        selection_budget=None,
        warmup_proportions="size",
        selector=config.dataflex.selector if judging.signal is None else None,
    )
    return RunConfig(args=args, dataflex=section)


def judges_of(judging: Judging) -> tuple[Judge, ...]:
    """The models that judge, in the order of their steps. Raises `DataError` for what is no checkpoint."""
    if not judging.checkpoints:
        return (Judge(),)
    steps = sorted((step_of(Path(path)), path) for path in judging.checkpoints)
    return tuple(
        Judge(
            checkpoint=path,
            since=max((other for other, _ in steps if other < step), default=0),
            has_optimizer=has_optimizer(Path(path)),
        )
        for step, path in steps
    )
