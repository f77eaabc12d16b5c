"""The benchmarks' references measure the same things as DataFlex, and a missed bound is not overlooked."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from benchmarks import __main__ as command
from benchmarks.dense import Signs, features
from benchmarks.measure import Bound, Finding, Measure, Side, ratio
from benchmarks.memory import peak_bytes
from benchmarks.models import load_lora
from benchmarks.ours import make_signals
from benchmarks.plain import evaluator, loader, train_steps
from scipy.stats import spearmanr
from support import build_model

CPU = torch.device("cpu")


def rows(count, seed):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        prompt, answer = rng.integers(1, 12), rng.integers(1, 14)
        ids = rng.integers(4, 60, prompt + answer).tolist()
        found.append({"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * prompt + ids[prompt:]})
    return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq

    folder = build_model(tmp_path_factory.mktemp("bench"), seed=3)
    model, pool, targets = load_lora(folder, dtype=torch.float32), rows(32, 1), {"a": rows(5, 2), "b": rows(4, 3)}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    collate = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(folder), pad_to_multiple_of=8)
    train_steps(model, optimizer, loader(pool, [range(start, start + 8) for start in (0, 8, 16, 24)], collate), CPU)
    signals = make_signals(model, optimizer, pool, targets, token_budget=96, seed=0, collate=collate)
    return SimpleNamespace(
        model=model, optimizer=optimizer, pool=pool, targets=targets, collate=collate, signals=signals
    )


@pytest.mark.numeric
def test_dense_projection_scores_as_exact_scores_do(bench):
    queries = [features(bench.model, target, dim=8192).mean(dim=0) for target in bench.targets.values()]
    updates = features(bench.model, bench.pool, dim=8192, optimizer=bench.optimizer)
    dense = (updates @ torch.stack(queries).T).amax(dim=1).numpy()
    exact = bench.signals.influence(np.arange(len(bench.pool)))
    assert spearmanr(dense, exact).statistic > 0.97
    assert np.abs(dense - exact).max() < 0.05, "a projection to 8192 dimensions is off by about 1/√8192"


@pytest.mark.numeric
def test_projections_are_of_fair_signs_and_repeat_with_the_seed():
    first, second = Signs(64, seed=1, device=CPU).block(500), Signs(64, seed=1, device=CPU).block(500)
    assert torch.equal(first, second)
    assert not torch.equal(first, Signs(64, seed=2, device=CPU).block(500))
    assert set(first.unique().tolist()) == {-1.0, 1.0}
    products = first.T @ first / 500
    assert (products - torch.eye(64)).abs().max() < 0.25, "columns are uncorrelated"


@pytest.mark.numeric
def test_stock_evaluation_finds_the_same_loss(bench, tmp_path):
    stock = evaluator(bench.model, bench.pool, bench.collate, batch_size=1, folder=str(tmp_path))
    ours = bench.signals.losses(np.arange(len(bench.pool)))
    assert stock.evaluate()["eval_loss"] == pytest.approx(float(ours.mean()), rel=1e-4)


@pytest.mark.numeric
def test_plain_steps_move_the_weights_and_leave_no_gradient(bench):
    parameters = [p for p in bench.model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    train_steps(bench.model, bench.optimizer, loader(bench.pool, [range(8)], bench.collate), CPU)
    assert all(p.grad is None for p in parameters)
    assert not any(torch.equal(old, p) for old, p in zip(before, parameters, strict=True))
    with torch.no_grad():
        for old, parameter in zip(before, parameters, strict=True):
            parameter.copy_(old)


@pytest.mark.numeric
def test_peak_memory_is_what_is_held_at_once():
    here = torch.zeros(1 << 20)

    def two_then_one():
        first, second = torch.zeros(1 << 20), torch.zeros(1 << 20)
        del first, second
        torch.zeros(1 << 20)

    found = peak_bytes(two_then_one, CPU, [here, here[:5]])
    assert found == pytest.approx(3 * 4 * 2**20, rel=0.01)


def side(*values):
    return Side(label="side", unit="ms", values=values)


def run_command(monkeypatch, tmp_path, bound, found):
    measure = Measure(name="less-step", what="a thing", bound=bound, run=lambda bench, repeats: found)
    monkeypatch.setattr(command, "load_measure", lambda name: measure)
    monkeypatch.setattr(command, "build_bench", lambda name, folder, bf16: None)
    monkeypatch.setattr(command, "_hush", lambda: None)  # it is for a process of its own
    path = tmp_path / "bench.json"
    code = command.main(["--only", "less-step", "--json", str(path)])
    assert [file.name for file in tmp_path.iterdir()] == ["bench.json"], "written to another name first, then renamed"
    return code, json.loads(path.read_text(encoding="utf-8"))["measures"][0]


@pytest.mark.parametrize(
    ("bound", "verdict"),
    [
        (Bound(value=2, at_most=True), "ok"),
        (Bound(value=2, at_most=False), "ok"),
        (Bound(value=1.9, at_most=True), "missed"),
        (Bound(value=2.1, at_most=False), "missed"),
    ],
)
def test_a_missed_bound_is_marked_and_exits_with_1(monkeypatch, tmp_path, capsys, bound, verdict):
    found = ratio(side(4.0, 6.0, 5.0), side(2.0, 3.0, 2.5))
    code, written = run_command(monkeypatch, tmp_path, bound, found)
    assert code == (verdict == "missed")
    assert (written["value"], written["verdict"]) == (2, verdict)
    assert written["sides"][0] == {"label": "side", "unit": "ms", "median": 5, "each": [4, 6, 5]}
    printed = capsys.readouterr().out
    assert verdict in printed
    assert str(bound) in printed


def test_nan_misses_every_bound(monkeypatch, tmp_path):
    found = Finding(value=float("nan"), repeats=(1.0,), sides=())
    assert [run_command(monkeypatch, tmp_path, Bound(value=1, at_most=a), found)[0] for a in (True, False)] == [1, 1]
