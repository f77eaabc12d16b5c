"""holdout.py: which samples are kept out of training, and what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets

from dataflex_core.domains import Domain
from dataflex_core.errors import DataError
from dataflex_core.llamafactory.data import LoadedData
from dataflex_core.llamafactory.holdout import held_out, places_of
from dataflex_core.llamafactory.traced import Traced
from dataflex_core.rows import Origins, Source

SIZES = {"words": 300, "code": 200}


def samples(name, size):
    """Tokenised samples, no two alike."""
    tokens = [[len(name), i % 97, i // 97, 5, 6] for i in range(size)]
    labels = [[-100, -100, *row[2:]] for row in tokens]
    return Dataset.from_dict({"input_ids": tokens, "labels": labels, "attention_mask": [[1] * 5] * size})


def loaded(**parts):
    train, sizes = concatenate_datasets(list(parts.values())), [len(part) for part in parts.values()]
    starts = np.cumsum([0, *sizes])
    domains = tuple(Domain(name=n, start=int(s), size=k) for n, s, k in zip(parts, starts[:-1], sizes, strict=True))
    sources = tuple(Source(dataset=d.name, files=(f"{d.name}.json",), size=d.size, count=len) for d in domains)
    rows = Traced(
        origins=Origins(sources=sources, starts=np.arange(len(train) + 1), rows=np.arange(len(train))),
        columns={"place": np.arange(len(train))},
    )
    return LoadedData(module={"train_dataset": train}, domains=domains, targets={}, rows=rows)


def tokens(dataset):
    return {tuple(row) for row in dataset["input_ids"]}


def everyday():
    return loaded(**{name: samples(name, size) for name, size in SIZES.items()})


def test_a_share_of_each_domain_is_kept_out_and_the_rest_trains():
    before, after = everyday(), held_out(everyday(), 0.1)
    assert list(after.holdout) == [domain.name for domain in after.domains] == list(SIZES)
    train = after.module["train_dataset"]
    for old, new in zip(before.domains, after.domains, strict=True):
        held, kept = after.holdout[new.name], train.select(range(new.start, new.start + new.size))
        assert 0.05 < len(held) / old.size < 0.15
        assert tokens(held).isdisjoint(tokens(kept))
        every = before.module["train_dataset"].select(range(old.start, old.start + old.size))
        assert tokens(held) | tokens(kept) == tokens(every)
    assert after.domains[1].start == after.domains[0].size
    assert sum(domain.size for domain in after.domains) == len(train)


def test_neither_a_domain_nor_a_row_that_is_added_moves_another():
    first = held_out(everyday(), 0.1)
    more = held_out(loaded(other=samples("else", 150), code=samples("code", 201), words=samples("words", 300)), 0.1)
    assert tokens(more.holdout["words"]) == tokens(first.holdout["words"])
    assert tokens(first.holdout["code"]) <= tokens(more.holdout["code"])
    wider = held_out(everyday(), 0.2)
    assert all(tokens(first.holdout[name]) <= tokens(wider.holdout[name]) for name in SIZES)


def test_samples_that_are_alike_stay_together():
    twice = concatenate_datasets([samples("words", 60)] * 2)
    after = held_out(loaded(words=twice), 0.3)
    held, kept = tokens(after.holdout["words"]), tokens(after.module["train_dataset"])
    assert held.isdisjoint(kept)
    assert len(after.holdout["words"]) == 2 * len(held)


def test_what_is_known_of_samples_goes_with_them():
    after = held_out(everyday(), 0.1)
    places = places_of(everyday().module["train_dataset"])
    assert after.rows.columns["place"].tolist() == np.flatnonzero(places >= 0.1).tolist()
    assert len(after.rows.origins) == len(after.module["train_dataset"])
    (row,) = after.holdout_rows["code"].origins.of(0)
    assert (row.dataset, row.row) == ("code", int(np.flatnonzero(places[300:] < 0.1)[0]) + 1)


@pytest.mark.numeric
def test_columns_that_are_no_numbers_do_not_count():
    plain = samples("words", 50)
    pictured = plain.add_column("images", [["a.png"]] * 50)
    np.testing.assert_array_equal(places_of(plain), places_of(pictured))
    assert places_of(samples("words", 5000)).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("share", [1e-6, 0.999999])
def test_a_domain_that_would_be_left_empty_is_refused_in_words(share):
    with pytest.raises(DataError, match=r"dataflex\.holdout: .* would keep (none of the|all) 300") as told:
        held_out(everyday(), share)
    assert told.value.key == ("dataflex", "holdout")
    if share < 0.5:
        enough = float(told.value.hint.rpartition(" ")[2])
        assert len(held_out(loaded(words=samples("words", 300)), enough).holdout["words"]) >= 1
