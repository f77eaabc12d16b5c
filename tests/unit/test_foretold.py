"""What scores of trained samples would add to predictions is worked out from decisions that scored all."""

import numpy as np
import pytest
from experiments.foretold import MARK, PROBES, WAYS, Foretold, Way, foretold, load_all, path_of, save, table
from experiments.page import PAGE

from dataflex_core.journal.scores import DecisionScores

pytestmark = pytest.mark.numeric

POOL, WIDTH, CHOSEN = 600, 30, 120


def decisions(drift):
    """Scores that are linear in features, whose direction turns by ``drift`` radians from decision to decision."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(POOL, WIDTH)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    one, other = np.eye(WIDTH, dtype=np.float32)[:2]
    scored, trained = [], []
    for number in range(1, 6):
        scores = features @ (np.cos(drift * number) * one + np.sin(drift * number) * other)
        ids = rng.permutation(POOL)  # a file of scores need not be in order
        chosen = np.argsort(-scores)[:CHOSEN]
        scored.append(
            DecisionScores(
                decision=number, ids=ids, scores=scores[ids], chosen=np.isin(ids, chosen), stands_for=np.ones(POOL)
            )
        )
        trained.append(np.sort(chosen))
    return features, scored, trained


def correlations(drift, probe):
    features, scored, trained = decisions(drift)
    ways = (Way(probe=probe, trained=flag) for flag in (False, True))
    return [foretold(way, scored, trained, lambda ids: features[ids], seed=0) for way in ways]


def test_they_help_where_scores_stay_as_they_are():
    without, with_them = correlations(0.0, 20)
    assert with_them.correlation > without.correlation + 0.05
    assert with_them.worth > without.worth


def test_they_do_not_where_scores_turn_around():
    without, with_them = correlations(np.pi / 2, 80)
    assert with_them.correlation < without.correlation


def test_figures_are_kept_by_seed_and_a_row_is_a_way(tmp_path):
    assert list(table([])) == ["This has not been run."]
    for seed, better in ((0, 0.0), (1, 0.2)):
        found = [
            Foretold(seed=seed, probe=way.probe, trained=way.trained, correlation=0.5 + better * way.trained, worth=1.0)
            for way in WAYS
        ]
        save(tmp_path, seed, found)
        assert path_of(tmp_path, seed).exists()
    rows = list(table(load_all(tmp_path)))[2:]
    assert len(rows) == 2 * len(PROBES)
    assert rows[0] == "| 20 | no | 2 | 0.500 ± 0.000 | 1.000 ± 0.000 |"
    assert rows[1] == "| 20 | yes | 2 | 0.600 ± 0.141 | 1.000 ± 0.000 |"
    assert f"<!-- {MARK} -->" in PAGE.read_text(encoding="utf-8")
