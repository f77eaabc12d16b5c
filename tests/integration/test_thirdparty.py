"""Five strategies from the literature, each a file of at most sixty lines, written to the documentation."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from doc_blocks import blocks
from support import base_args, build_model, of_kind, train
from third_party import FILES, FOLDER, catalog, module

import dataflex_core
from dataflex_core import Domain, SetupContext, StepFacts
from dataflex_core.testing import parametrize_with_checks

SPECS = [record.spec for record in catalog().of_kind() if record.distribution.endswith(".py")]
REFERENCED = {"my-rho-1", "reducible-loss"}
TWO = ("mixer.proportions=[1,3]",)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A reference model: of the same vocabulary, otherwise initialised."""
    return build_model(tmp_path_factory.mktemp("reference"), seed=1)


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch):
    """As an installed plugin is for every process."""
    monkeypatch.syspath_prepend(FOLDER)


def _settings(strategies, reference):
    given = [f"{kind}.reference_model={reference}" for kind, name in strategies.items() if name in REFERENCED]
    return (*given, *(TWO if strategies.get("mixer") == "static" else ()))


@parametrize_with_checks(SPECS, params={name: {"reference_model": "base"} for name in REFERENCED})
def test_conforms(check):
    check()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_is_short_and_uses_public_names_only(file):
    text = file.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    ours = [node for node in imported if "dataflex" in ast.unparse(node)]
    assert {node.module for node in ours} == {"dataflex_core"}
    assert {alias.name for node in ours for alias in node.names} <= set(dataflex_core.__all__)


def test_the_documentation_shows_rho_1_in_under_fifty_lines():
    text = (FOLDER / "rho_1.py").read_text(encoding="utf-8")
    page = Path(__file__).parents[2] / "docs" / "write-a-strategy.md"
    assert [block.text for block in blocks(page) if block.file == "rho_1.py"] == [text]
    assert len(text.splitlines()) < 50


@pytest.mark.numeric
def test_rho_1_keeps_the_largest_excess_and_what_ties_with_it():
    excess = torch.tensor([[0.5, -0.2, 2.0], [0.1, 0.1, 9.0]])
    mask = torch.tensor([[True, True, True], [True, True, False]])
    kept = module("rho_1").kept
    assert kept(excess, mask, 0.6).tolist() == [[1, 0, 1], [1, 1, 0]]
    assert kept(excess, mask, 0.4).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert kept(excess, torch.zeros_like(mask), 0.6).sum() == 0


@pytest.mark.numeric
def test_exp3_weighs_the_worked_example_as_the_paper_does():
    domains = tuple(Domain(name=name, start=k, size=1) for k, name in enumerate("abc"))
    made = module("exp3").Exp3(module("exp3").Params())
    made.setup(_context(domains))
    found = []
    for domain, loss in ((0, 3), (1, 2), (2, 2.5), (0, 2.8)):
        made.observe(
            StepFacts(
                progress=None,
                domains=domains,
                ids=np.array([domain]),
                losses=np.array([loss], dtype=np.float32),
                tokens=np.array([5]),
                proportions=np.full(3, 1 / 3),
            )
        )
        found.append(made.mix(None))
    np.testing.assert_allclose(found[:3], 1 / 3)
    np.testing.assert_allclose(found[3], [0.340308, 0.329164, 0.330528], atol=1e-6)


def _context(domains):
    sizes = {"warmup_steps": 0, "update_steps": 1, "total_steps": 4, "decisions": 4, "global_batch": 1, "judged": 0}
    return SetupContext(domains=domains, targets=(), target_sizes=(), mixed=True, seed=0, **sizes)


@pytest.mark.numeric
def test_k_center_goes_far_and_hard_and_never_without_a_loss():
    points = np.array([[0, 0], [0, 1], [4, 0], [0, 5], [9, 9]], dtype=np.float32)
    losses = np.array([2, 1, 1, 0.5, np.nan], dtype=np.float32)
    rows, scores = module("k_center").centers(points, losses, 5)
    assert rows.tolist() == [0, 2, 3, 1]
    assert scores.tolist() == pytest.approx([2.0, 4.0, 2.5, 1.0])


ALONE = [{spec.kind.value: spec.name} for spec in SPECS]
BESIDE = [
    {"mixer": "exp3", "selector": "loss"},
    {"selector": "reducible-loss", "mixer": "exp3", "weighter": "my-rho-1"},
    {"selector": "k-center", "weighter": "loss"},
    {"selector": "k-center", "mixer": "exp3", "weighter": "loss"},
    {"selector": "curriculum", "mixer": "static"},
]


@pytest.mark.numeric
@pytest.mark.parametrize(
    "strategies",
    [*(pytest.param(one, marks=pytest.mark.slow) for one in ALONE), *BESIDE],
    ids=lambda given: "-".join(given.values()),
)
def test_each_trains_alone_and_beside_others(model, reference, data, tmp_path, strategies):
    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out")
    train(args, events=events, catalog=catalog(), settings=_settings(strategies, reference), **strategies)
    assert [event["step"] for event in of_kind(events, "step")] == list(range(1, 9))
    assert of_kind(events, "end") == [{"event": "end", "step": 8}]


@pytest.mark.numeric
def test_rho_loss_trains_the_largest_difference(model, reference, data, tmp_path):
    """With nothing learnt, the difference of two frozen models."""
    from support import losses_by_sample

    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", learning_rate=0.0, lora_dropout=0.0)
    settings = (f"selector.reference_model={reference}",)
    train(args, events=events, catalog=catalog(), settings=settings, selector="rho-loss")
    mine, theirs = (losses_by_sample({**args, "model_name_or_path": str(path)}) for path in (model, reference))
    excess = np.array([a / n - b / n for (a, n), (b, _) in zip(mine, theirs, strict=True)])
    trained = [i for event in of_kind(events, "step")[2:5] for i in event["samples"]]
    assert sorted(trained) == sorted(np.argsort(-excess, kind="stable")[:12].tolist())


@pytest.mark.numeric
@pytest.mark.parametrize("mixer", [None, "static"])
def test_the_curriculum_is_one_order_in_slices(model, data, tmp_path, mixer):
    from support import losses_by_sample

    events: list[dict] = []
    args = base_args(model, data, tmp_path / "out", learning_rate=0.0, lora_dropout=0.0)
    strategies = {"selector": "curriculum"} | ({"mixer": mixer} if mixer else {})
    train(args, events=events, catalog=catalog(), settings=TWO if mixer else (), **strategies)
    losses = np.array([total / n for total, n in losses_by_sample(args)])
    order = np.argsort(losses, kind="stable").tolist()
    trained = [i for event in of_kind(events, "step")[2:] for i in event["samples"]]
    if mixer is None:
        assert trained == order[:24]
        return
    for first, last, count in ((0, 60, 6), (60, 100, 18)):
        assert [i for i in trained if first <= i < last] == [i for i in order if first <= i < last][:count]
    assert [sum(i >= 60 for i in trained[at : at + 4]) for at in (0, 4, 8, 12, 16, 20)] == [3] * 6, "interleaved"
    assert [decision["judged"] for decision in of_kind(events, "decision")] == [0, 100, 100]


def test_a_curriculum_is_refused_where_it_would_be_given_a_part(model, data, tmp_path):
    args = base_args(model, data, tmp_path / "out", dataflex={"candidates": "2x"})
    with pytest.raises(dataflex_core.UsageError, match="has to be given the whole pool of 100 samples"):
        train(args, catalog=catalog(), selector="curriculum")
