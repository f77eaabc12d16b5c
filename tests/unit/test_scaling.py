"""docs/scaling.md says what the code reckons, and its simulation is of ranks that decide as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scaling import ranks as simulation
from scaling.assumed import MODELS, TARGET_TOKENS, TOKENS, seconds_of_steps
from scaling.page import PAGE, written
from scaling.ranks import Setting, simulated
from scaling.results import counted, load, save
from scaling.stored import bytes_of
from scaling.strategies import passes, variants
from scaling.weighed import bytes_of as weighed

from dataflex_core.errors import RanksDisagree
from dataflex_core.spec import FORWARD, Kind, Need

pytestmark = pytest.mark.numeric

SMALL = Setting(ranks=4, pool=800, decisions=3, batch=8, steps=5, judged=120)


def test_the_page_is_what_the_code_reckons_now():
    text = PAGE.read_text(encoding="utf-8")
    assert written(text, load()) == text, "run: nox -s scaling -- --page-only"


def test_what_selectors_gather_is_as_the_page_has_it():
    assert counted() == load().gathered


@pytest.mark.parametrize("variant", variants(Kind.SELECTOR), ids=lambda variant: variant.title)
def test_passes_make_up_the_cost_that_is_declared(variant):
    forwards, backwards = passes(variant.chosen)
    assert 0 <= backwards <= forwards
    assert forwards * FORWARD + backwards * (1 - FORWARD) == pytest.approx(variant.chosen.cost())


def test_a_training_step_takes_six_flops_a_parameter_and_token():
    model = replace(MODELS[0], parameters=1e9)
    assert seconds_of_steps(model, 4, 1) == pytest.approx(1024 * TOKENS * 6e9 / 1.6e15)


def test_an_adapter_has_two_matrices_a_layer():
    model = replace(MODELS[0], layers=1, hidden=8, inner=20, attended=4)
    shapes = [(8, 8), (8, 8), (8, 4), (8, 4), (8, 20), (8, 20), (20, 8)]
    assert model.adapter(2) == sum(2 * (a + b) for a, b in shapes)


def test_what_is_stored_is_the_numbers_and_a_key(tmp_path):
    one, many = (bytes_of(values, tmp_path / str(values)) for values in (1, 101))
    assert many - one == pytest.approx(400)
    assert 20 <= one <= 30


def test_weighing_gathers_what_is_needed():
    plain = weighed(set(), 64)
    assert plain == 8 + 5 * TOKENS
    assert weighed({Need.BATCH_EMBEDDINGS}, 64) == plain + 4 * 64
    assert weighed({Need.REFERENCE_LOSSES}, 64) == plain + 4 * TOKENS
    assert weighed({Need.TARGET_TOKENS}, 64) == plain + 8 * TOKENS
    assert TARGET_TOKENS < TOKENS


def test_ranks_as_threads_agree_and_are_counted():
    alone, four = simulated(replace(SMALL, ranks=1)), simulated(SMALL)
    assert (alone.gathered, alone.agreed, four.agreed) == (0, 0, 4 * 8)
    assert four.gathered >= SMALL.judged * (8 + 4)
    assert (alone.decision, alone.steps) == (four.decision, four.steps), "the very same plans"
    assert min(four.planning, four.agreeing, four.journalling) > 0


def test_a_rank_that_decides_otherwise_is_found(monkeypatch):
    def gathered(self, ids, shard, values):
        losses = ids.astype(np.float32)
        return losses[::-1] if self.ranks.rank == 2 else losses

    monkeypatch.setattr(simulation._Drawn, "gather", gathered)
    with pytest.raises(RanksDisagree, match=r"selector loss .*rank 2 decided otherwise"):
        simulated(SMALL)


def test_results_are_read_as_they_were_written(tmp_path):
    save(load(), tmp_path / "results.json")
    assert load(tmp_path / "results.json") == load()
