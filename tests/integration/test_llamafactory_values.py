"""What LLaMA-Factory's sources declare, read without importing them, is what its classes declare once imported."""

from __future__ import annotations

import dataclasses
import types
import typing

import pytest

from dataflex_core.llamafactory.keys import known_keys
from dataflex_core.llamafactory.values import Accepted, accepted, misfit


def _declared(annotation):
    """What `values` makes of an annotation, from the type itself."""
    origin, arms = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (int, float):
        return Accepted(number=True)
    if annotation is bool:
        return Accepted(boolean=True)
    if annotation is type(None):
        return Accepted()
    if origin is typing.Literal:
        return Accepted(choices=arms)
    if origin in (typing.Union, types.UnionType):
        read = [_declared(arm) for arm in arms]
        if None not in read:
            both = Accepted()
            for one in read:
                both |= one
            return both
    return None


def test_every_key_accepts_what_its_class_declares():
    from llamafactory.hparams.parser import _TRAIN_ARGS

    declared = {}
    for made in _TRAIN_ARGS:
        hints = typing.get_type_hints(made)
        declared.update({field.name: hints[field.name] for field in dataclasses.fields(made) if field.init})
    assert set(declared) == known_keys()
    assert {key: accepted(key) for key in declared} == {key: _declared(hint) for key, hint in declared.items()}
    assert sum(accepted(key) is not None for key in declared) > 200


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rate", 1e-4),
        ("learning_rate", 1),
        ("max_steps", 1e3),
        ("bf16", 1),
        ("do_train", False),
        ("stage", "pt"),
        ("lora_alpha", None),
        ("lr_scheduler_type", "anything: LLaMA-Factory judges it"),
        ("save_strategy", "no"),
        ("resume_from_checkpoint", True),
        ("fsdp", False),
        ("trackio_static_space_id", False),
        ("deepspeed", False),
        ("of_a_plugin", object()),
        ("max_grad_norm", None),
        ("bf16", None),
        ("eval_dataset", None),
        ("dataset", ["wiki", "code"]),
        ("lora_target", ["q_proj"]),
        ("interleave_probs", [0.5, 0.5]),
        ("interleave_probs", "0.5,0.5"),
        ("run_name", 3),
        ("master_port", 29500),
        ("report_to", ["wandb"]),
        ("gradient_checkpointing_kwargs", {"use_reentrant": False}),
        ("lr_scheduler_kwargs", '{"num_cycles": 2}'),
        ("deepspeed", 0),
        ("optim_args", "a=1, b=2"),
    ],
)
def test_good_values(key, value):
    assert misfit(key, value) is None


_NO = "{} is false, not a word: YAML reads no and off without quotes as false"


@pytest.mark.parametrize(
    ("key", "value", "wrong", "remedy"),
    [
        ("learning_rate", "fast", "learning_rate='fast' is not a number", "write a number"),
        ("learning_rate", "1e-4", "learning_rate='1e-4' is not a number", "write it without quotes"),
        ("max_steps", [3], "max_steps=[3] is not a number", "write a number"),
        ("bf16", "true", "bf16='true' is not true or false", "write it without quotes"),
        ("stage", "sfd", "stage='sfd' is none of pt, sft, rm, ppo, dpo, kto", "did you mean 'sft'?"),
        ("bf16", 7, "bf16=7 is not true or false", "write true or false"),
        ("save_strategy", False, _NO.format("save_strategy"), 'quote it: write save_strategy: "no"'),
        ("eval_strategy", False, _NO.format("eval_strategy"), 'quote it: write eval_strategy: "no"'),
        ("report_to", ["wandb", False], _NO.format("report_to"), 'quote it: write report_to: "none"'),
        ("lr_scheduler_type", False, _NO.format("lr_scheduler_type"), "quote the word that is meant"),
        (
            "dataset",
            True,
            "dataset is true, not a word: YAML reads yes and on without quotes as true",
            "quote the word that is meant",
        ),
        (
            "learning_rate",
            None,
            "learning_rate is null, and has to have a value",
            "write one, or leave learning_rate out",
        ),
        ("max_steps", None, "max_steps is null, and has to have a value", None),
        ("dataset_dir", None, "dataset_dir is null, and has to have a value", None),
        ("dataset", 123, "dataset=123 is a number, not text", "write text, with commas between several"),
        ("eval_dataset", [3], "eval_dataset holds 3, which is no name", "write the name as text, in quotes"),
        ("dataset", {"wiki": 1}, "dataset={'wiki': 1} is a section, not text", None),
        ("dataset_dir", ["data"], "dataset_dir=['data'] is a list, not text", "write text"),
        ("template", ["default"], "template=['default'] is a list, not text", None),
        ("lora_target", 3, "lora_target=3 is a number, not text", None),
        ("run_name", ["a"], "run_name=['a'] is a list, not text", None),
        ("interleave_probs", 0.5, "interleave_probs=0.5 is a number, not text", None),
        ("gradient_checkpointing_kwargs", 3, "gradient_checkpointing_kwargs=3 holds no settings", None),
        ("optim_args", "x", "optim_args='x' does not set anything", "write NAME=VALUE, with commas between"),
        ("stage", ["sft"], "stage=['sft'] is none of pt, sft, rm, ppo, dpo, kto", None),
    ],
)
def test_bad_values(key, value, wrong, remedy):
    found = misfit(key, value)
    assert found is not None
    assert found[0] == wrong
    assert remedy is None or found[1].startswith(remedy)
