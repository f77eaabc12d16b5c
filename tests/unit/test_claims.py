"""The experiments about what strategies claim: what is planted, what is counted, and the tables that come of it."""

import numpy as np
import pytest
from experiments.claims.arms import EXPERIMENTS
from experiments.claims.drawn import Drawn, of_domains, of_samples, weighed
from experiments.claims.outcome import Outcome, load, path_of
from experiments.claims.page import loss_at, mark, table
from experiments.claims.planted import ANSWERS, APART, DOMAINS, HELPS, MANY, TOKENS
from experiments.page import PAGE
from experiments.results import save

from dataflex_core.catalog import discover

pytestmark = pytest.mark.numeric

STEPS, CONTROL_STEPS = 90, 270
COMPARISONS = [(name, comparison) for name, found in EXPERIMENTS.items() for comparison in found]


def outcome(arm, losses, *, corpus="helps", seed=0, cost=0.0, steps=(STEPS,), marked=0.5, **drawn):
    return Outcome(
        corpus=corpus,
        arm=arm,
        section={},
        seed=seed,
        steps=steps,
        losses=losses,
        cost=cost,
        drawn=Drawn(**{"marked": marked, "shares": {"a": 1.0}, "order": 0.0, **drawn}),
    )


def test_a_fifth_of_the_samples_have_random_words_for_an_answer():
    texts = ANSWERS.texts()
    for name, samples in texts.domains.items():
        others = {row for row, clean in enumerate(texts.clean[name]) if clean.output != samples[row].output}
        assert others <= texts.marked[name]
        assert len(others) > 0.9 * len(texts.marked[name]) > 0.17 * len(samples)


def test_held_out_samples_are_in_no_pool_and_clean():
    for corpus in (HELPS, ANSWERS, APART, TOKENS, DOMAINS, MANY):
        texts = corpus.texts()
        known = {(s.instruction, s.output) for samples in texts.domains.values() for s in samples}
        assert not known & {(s.instruction, s.output) for samples in texts.held_out.values() for s in samples}
        assert all(name in texts.domains for name in texts.marked)


def test_noise_apart_is_the_noise_of_all_domains():
    mixed, apart = ANSWERS.texts(), APART.texts()
    noise = [mixed.domains[name][row] for name, rows in mixed.marked.items() for row in rows]
    assert sorted(apart.domains["noise"]) == sorted(noise)
    assert sum(map(len, apart.domains.values())) == sum(map(len, mixed.domains.values()))
    assert apart.held_out == mixed.held_out


def test_of_forty_domains_none_shares_a_sample_with_another():
    domains = MANY.texts().domains
    sizes = [len(samples) for samples in domains.values()]
    assert len(domains) == 40
    assert (min(sizes), max(sizes)) == (6, 60)
    assert len({sample for samples in domains.values() for sample in samples}) == sum(sizes)


def test_spoilt_answers_keep_their_length_and_most_of_their_words():
    texts = TOKENS.texts()
    for name, samples in texts.domains.items():
        pairs = [(a.output.split(), b.output.split()) for a, b in zip(samples, texts.clean[name], strict=True)]
        assert all(len(spoilt) == len(clean) for spoilt, clean in pairs)
        same = [a == b for spoilt, clean in pairs for a, b in zip(spoilt, clean, strict=True)]
        assert 0.68 < np.mean(same) < 0.78


@pytest.mark.parametrize(("experiment", "comparison"), COMPARISONS)
def test_an_arm_names_strategies_that_there_are_and_the_page_has_its_place(experiment, comparison):
    known = {(record.spec.kind.value, record.spec.name) for record in discover().of_kind()}
    for claim in comparison.claims:
        chosen = [
            (kind, claim.section[kind]["name"]) for kind in ("selector", "mixer", "weighter") if kind in claim.section
        ]
        assert set(chosen) <= known
    assert f"<!-- {mark(experiment, comparison)} -->" in PAGE.read_text(encoding="utf-8")


def test_what_was_drawn_is_counted_by_what_it_is():
    texts = HELPS.texts()
    sizes = {name: len(samples) for name, samples in texts.domains.items()}
    first, last, pool = next(iter(sizes)), list(sizes)[-1], sum(sizes.values())
    assert list(texts.marked) == [last]
    drawn = of_samples(texts, [{"step": 11, "samples": (0, 1)}, {"step": 12, "samples": (2, pool - 1)}], sizes)
    shares = {**dict.fromkeys(sizes, 0.0), first: 0.75, last: 0.25}
    assert (drawn.marked, drawn.shares) == (0.25, shares)
    assert of_domains(texts, [{"chosen": {first: 3}}, {"chosen": {last: 1}}]) == Drawn(
        marked=0.25, shares=shares, order=None
    )
    with pytest.raises(ValueError, match="left out"):
        of_samples(texts, [], {first: 3})


def test_an_arm_is_compared_at_the_same_steps_and_at_the_same_work(tmp_path):
    comparison = EXPERIMENTS["selectors"][0]
    control = outcome("random", {"held_out": (4.0, 3.0)}, steps=(0, CONTROL_STEPS), marked=0.25)
    dear = outcome("less", {"held_out": (3.5,)}, cost=CONTROL_STEPS / 2 - STEPS)
    head, _, plain, paid = table(comparison, [control, dear])
    assert "of the target's domain" in head
    assert plain.startswith("| `random` | 1 | 25% |")
    assert paid.startswith("| `less` | 1 | 50% | 3.500 | 3.667 | 3.500 |")
    *_, late = table(comparison, [control, outcome("less", {"held_out": (3.5,)}, cost=CONTROL_STEPS)])
    assert "at most 3.000" in late
    path = path_of(tmp_path, "helps", comparison.claims[1], 0)
    save(path, dear)
    assert load(path) == dear
    assert list(table(comparison, [])) == ["This has not been run."]


def test_what_was_weighed_is_counted_by_what_it_is():
    events = [
        {"tokens": {"signatures": 10, "classes": 30}, "weights": {"signatures": 30.0, "classes": 20.0}},
        {"tokens": {"signatures": 10, "classes": 30}, "weights": None},
    ]
    assert weighed(HELPS.texts(), events) == (20 / 80, 40 / 90)
    comparison = EXPERIMENTS["weighters"][-1]
    control = outcome("uniform", {"held_out": (4.0,)}, marked_tokens=0.25, marked_weight=0.25)
    other = outcome("adapt", {"held_out": (3.5,)}, marked_tokens=0.25, marked_weight=0.3125)
    head, _, _, row = table(comparison, [control, other])
    assert "| of the target's domain: of the tokens | of the weight |" in head
    assert row.startswith("| `adapt` | 1 | 25.0% | 31.2% | 3.500 | 4.000 |")


def test_many_domains_have_the_least_and_the_most_of_them_told():
    comparison = EXPERIMENTS["mixers"][-1]
    told = {"shares": {"a": 0.2, "b": 0.8}, "last": {"a": 0.45, "b": 0.55}}
    control = outcome("uniform", {"a": (4.0,), "b": (5.0,)}, corpus="many", marked=0.0, **told)
    *_, row = table(comparison, [control])
    assert row.startswith("| `uniform` | 1 | 0.40 | 1.60 | 0.90 | 1.10 | 4.500 / 5.000 |")


def test_losses_of_several_domains_are_their_mean_and_the_worst():
    assert loss_at(outcome("ado", {"a": (2.0, 1.0), "b": (4.0, 3.0)}, steps=(10, 20)), 15) == (2.5, 3.5)
