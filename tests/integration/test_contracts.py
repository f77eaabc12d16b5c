"""What happens to a strategy that breaks its contract, and what a mixer is shown."""

from __future__ import annotations

import numpy as np
import pytest
from broken_plugin import WatchingMixer, catalog
from support import base_args, losses_by_sample, of_kind, train

from dataflex_core.errors import DataError, StrategyFault

pytestmark = pytest.mark.numeric

BROKEN = [
    ("selector", "foreign", StrategyFault, "chose a sample that is no candidate"),
    ("selector", "twice", StrategyFault, "chose a sample twice"),
    ("selector", "greedy", StrategyFault, "chose 100 samples, 12 were asked for"),
    ("selector", "float", StrategyFault, "not with sample ids"),
    ("selector", "nothing", DataError, "found no usable sample among 100 candidates"),
    ("selector", "short", StrategyFault, "gave 99 scores for 100 samples"),
    ("selector", "lacks", StrategyFault, "LacksSelector lacks score"),
    ("selector", "strange", StrategyFault, "is no Selector"),
    ("selector", "silent", StrategyFault, "and does not declare Need.LOSSES"),
    ("selector", "gradientless", StrategyFault, "leaves whether gradients are taken changed"),
    ("mixer", "half", StrategyFault, "leaves torch's default dtype changed"),
    ("mixer", "nan", StrategyFault, "are not finite"),
    ("mixer", "wide", StrategyFault, "the run has 2 domains"),
    ("weighter", "negative", StrategyFault, "not finite and >= 0"),
    ("weighter", "raising", StrategyFault, r"ZeroDivisionError: by a weighter, at tests/broken_plugin.py:\d+"),
    ("weighter", "whole", StrategyFault, r"torch.complex64 weights, in weigh\(\) at tests/broken_plugin"),
    ("weighter", "quitting", StrategyFault, "step 5: SystemExit: 3, at tests/broken_plugin.py"),
    ("selector", "mute", StrategyFault, r"answers with NoneType, not with a Selection, in select\(\) at tests/broken"),
    ("selector", "ragged", StrategyFault, r"answers with list, not with sample ids.*, in select\(\) at tests/broken"),
    ("selector", "scoreless", StrategyFault, "ScorelessSelector.score gave a NoneType of shape"),
    ("selector", "raising", StrategyFault, "IndexError: .*, at tests/broken_plugin.py"),
    ("mixer", "mute", StrategyFault, r"answers with NoneType, not with 2 proportions, in mix\(\) at tests/broken"),
    ("mixer", "wordy", StrategyFault, "answers with dict, not with 2 proportions"),
    ("mixer", "raising", StrategyFault, "KeyError: 'mine', at tests/broken_plugin.py"),
]


@pytest.mark.parametrize(("kind", "name", "error", "said"), BROKEN, ids=[f"{k}-{n}" for k, n, _, _ in BROKEN])
def test_a_broken_contract_names_the_strategy_and_what_is_wrong(model, data, tmp_path, kind, name, error, said):
    with pytest.raises(error, match=said) as caught:
        train(base_args(model, data, tmp_path / "out"), catalog=catalog(), **{kind: name})
    if error is StrategyFault and name not in ("lacks", "strange", "silent", "quitting"):
        assert f"{kind} {name} (broken 0), step 2" in str(caught.value)


def test_a_selection_that_is_too_short_is_repeated_and_journalled(model, data, tmp_path):
    events: list[dict] = []
    train(base_args(model, data, tmp_path / "out"), catalog=catalog(), events=events, selector="few")
    late = of_kind(events, "decision")[1]
    assert late["shortages"] == [{"domain": None, "wanted": 12, "had": 5, "action": "repeat"}]
    trained = [i for event in of_kind(events, "step")[2:5] for i in event["samples"]]
    assert trained == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1], "an ordered selection is trained in its order"


@pytest.mark.parametrize("weighter", [None, "zerofirst"])
def test_feedback_is_raw_and_covers_the_whole_window(model, data, tmp_path, weighter):
    """With nothing learnt, what a mixer observes is the frozen model's loss, however samples are weighed."""
    WatchingMixer.seen.clear()
    events: list[dict] = []
    changes = {"learning_rate": 0.0, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
    args = base_args(model, data, tmp_path / "out", max_steps=5, lora_dropout=0.0, **changes)
    strategies = {"mixer": "watching"} | ({"weighter": weighter} if weighter else {})
    train(args, catalog=catalog(), events=events, **strategies)
    steps = of_kind(events, "step")
    assert [s.progress.step for s in WatchingMixer.seen] == [1, 2, 3, 4, 5]
    reference = losses_by_sample(args)
    for stats, event in zip(WatchingMixer.seen, steps, strict=True):
        domains = np.array([int(i >= 60) for i in event["samples"]])
        assert stats.samples_by_domain.tolist() == np.bincount(domains, minlength=2).tolist()
        sums = [sum(reference[i][0] for i in event["samples"] if int(i >= 60) == d) for d in (0, 1)]
        tokens = [sum(reference[i][1] for i in event["samples"] if int(i >= 60) == d) for d in (0, 1)]
        assert stats.tokens_by_domain.tolist() == tokens
        np.testing.assert_allclose(stats.loss_by_domain, sums, rtol=1e-4)


def test_no_mixin_hides_a_name_of_the_trainer_or_of_another_mixin():
    """Mixins share one namespace with transformers' Trainer: only what is meant to be extended may be defined twice."""
    from llamafactory.train.sft.trainer import CustomSeq2SeqTrainer

    from dataflex_core.trainer import planned, weight

    extended = {"__init__", "get_batch_samples", "get_train_dataloader", "log", "evaluate"}
    extended |= {"training_step", "compute_loss", "prediction_step"}
    ours = {
        c
        for module in (planned.PlannedTrainer, weight.WeightTrainer)
        for c in module.__mro__
        if c.__module__.startswith("dataflex_core") and c.__name__ != "TransformersTrainer"
    }
    stock = {name for name in dir(CustomSeq2SeqTrainer) if not name.startswith("__")} | {"__init__"}
    for one in ours:
        names = {n for n in vars(one) if not n.startswith("__") or n == "__init__"}
        assert names & stock <= extended, one
        for other in ours - {one}:
            if not issubclass(one, other) and not issubclass(other, one):
                private = {n for n in names & set(vars(other)) if n.startswith("_") and n != "__init__"}
                assert private == set(), (one, other)
