"""What a run does with rows and columns: strategies read them, header and journal tell what is missing of them."""

from __future__ import annotations

import json

import pytest
from rows_plugin import KnowingSelector, catalog
from support import base_args, of_kind, train, train_plain

from dataflex_core.catalog import discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import DataError, InvalidConfig, UnmetNeed
from dataflex_core.llamafactory.run import dry_run
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind

pytestmark = pytest.mark.numeric

COLUMNS = {"columns": ["quality"]}
DOMAINS = {**COLUMNS, "domain_column": "source"}


@pytest.fixture
def folder(tmp_path):
    """A data set of 40 rows: two have no answer, one is too long; quality falls in each of three sources."""
    rows = [
        {
            "instruction": f"say red {i}",
            "input": "",
            "output": None if i in (2, 30) else " ".join(["cat"] * (300 if i == 5 else 1 + i % 7)),
            "quality": float(40 - i),
            "source": ("web", "code", "books")[i % 3],
        }
        for i in range(40)
    ]
    write(tmp_path, rows)
    return tmp_path


def write(folder, rows):
    (folder / "some.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "dataset_info.json").write_text(json.dumps({"some": {"file_name": "some.jsonl"}}))


def arguments(model, folder, section, **changes):
    return base_args(model, folder, folder / "out", dataset="some", dataflex=section, **changes)


@pytest.fixture(autouse=True)
def _nothing_seen():
    KnowingSelector.seen.clear()


def test_strategies_read_columns_and_rows_of_domains_by_column(model, folder):
    events: list[dict] = []
    names = {"selector": "knowing", "mixer": "knowing", "weighter": "knowing"}
    train(arguments(model, folder, DOMAINS), catalog=catalog(), events=events, **names)
    start = of_kind(events, "start")[0]
    assert start["domains"] == {"books": 12, "code": 13, "web": 13}
    assert set(of_kind(events, "decision")[1]["proportions"]) == {"books", "code", "web"}
    # Ids go through the domains in order, rows through the file: 0 is the first row of books that has an answer.
    order = [i for k in (2, 1, 0) for i in range(k, 40, 3) if i not in (2, 30)]
    for told in KnowingSelector.seen:
        assert told["rows"] == [[f"row {order[i] + 1} of {folder}/some.jsonl"] for i in told["ids"]]
        quality = [40 - order[i] for i in told["ids"]]
        assert quality == sorted(quality, reverse=True)


def test_header_and_journal_tell_what_is_left_out_and_what_is_cut_by_domain(model, folder):
    events: list[dict] = []
    args = arguments(model, folder, DOMAINS, max_steps=3)
    train(args, catalog=catalog(), events=events, mixer="knowing")
    file, answer = f"{folder}/some.jsonl", "Dropped invalid example: it has no answer"
    left = {
        "books": {"count": 1, "dataset": "some", "file": file, "row": 3, "reason": answer},
        "web": {"count": 1, "dataset": "some", "file": file, "row": 31, "reason": answer},
    }
    cut = {"books": {"count": 1, "dataset": "some", "file": file, "row": 6, "reason": "longer than 64 tokens"}}
    start = of_kind(events, "start")[0]
    assert (start["dropped"], start["cut"]) == (left, cut)


@pytest.mark.parametrize("strategies", [{"mixer": "knowing"}, {"weighter": "knowing"}], ids=["mixer", "weighter"])
def test_a_dry_run_tells_the_same(model, folder, strategies):
    path = folder / "config.json"
    path.write_text(json.dumps(arguments(model, folder, {**COLUMNS, "warmup_steps": 2})))
    config = load_config(path, Overrides(strategies={Kind(kind): name for kind, name in strategies.items()}))
    start = dry_run(prepare(config, catalog()), ranks=1)
    assert (start.dropped["some"].count, start.dropped["some"].row) == (2, 3)
    assert (start.cut["some"].count, start.cut["some"].row) == (1, 6)
    assert dict(start.rows) == dict(start.domains), "each sample is made of one row"


@pytest.mark.parametrize("strategies", [{"selector": "random"}, {"weighter": "loss"}], ids=["selector", "weighter"])
def test_what_is_missing_of_target_sets_is_told_too(model, folder, strategies):
    held = [{"instruction": f"say blue {i}", "input": "", "output": "sea" if i % 4 else None} for i in range(9)]
    held.append({"instruction": "say sea", "input": "", "output": " ".join(["sea"] * 200)})
    (folder / "held.json").write_text(json.dumps(held))
    index = {"some": {"file_name": "some.jsonl"}, "held": {"file_name": "held.json"}}
    (folder / "dataset_info.json").write_text(json.dumps(index))
    path = folder / "config.json"
    path.write_text(json.dumps(arguments(model, folder, {"warmup_steps": 2}, eval_dataset="held")))
    config = load_config(path, Overrides(strategies={Kind(kind): name for kind, name in strategies.items()}))
    start = dry_run(prepare(config, discover()), ranks=1)
    (name,) = start.targets
    lost, cut = start.target_dropped[name], start.target_cut[name]
    assert (lost.count, lost.row, lost.dataset, lost.file) == (3, 1, "held", f"{folder}/held.json")
    assert (cut.count, cut.row, cut.reason) == (1, 10, "longer than 64 tokens")
    assert start.target_rows == {name: 7}
    assert start.dropped["some"].count == 2


def test_rows_that_are_left_out_are_told_where_they_would_have_been_trained_or_evaluated_on(model, folder):
    path = folder / "config.json"
    path.write_text(json.dumps(arguments(model, folder, {"warmup_steps": 2}, val_size=0.2)))
    config = load_config(path, Overrides(strategies={Kind.SELECTOR: "random"}))
    start = dry_run(prepare(config, discover()), ranks=1)
    assert sum(fact.count for part in (start.dropped, start.target_dropped) for fact in part.values()) == 2


def test_a_resumed_run_knows_the_same_rows_and_columns(model, folder):
    args = arguments(model, folder, COLUMNS, save_strategy="steps", save_steps=4)
    train(args, catalog=catalog(), selector="knowing")
    whole = list(KnowingSelector.seen)
    KnowingSelector.seen.clear()
    again = {**args, "resume_from_checkpoint": f"{folder}/out/checkpoint-4", "overwrite_output_dir": False}
    train(again, catalog=catalog(), selector="knowing")
    assert KnowingSelector.seen == [told for told in whole if told["step"] >= 4]
    rows = [json.loads(line) for line in (folder / "some.jsonl").read_text().splitlines()]
    write(folder, [{**row, "quality": row["quality"] / 2} for row in rows])
    with pytest.raises(InvalidConfig, match="column quality has changed"):
        train(again, catalog=catalog(), selector="knowing")


def test_without_columns_a_checkpoint_says_of_data_what_it_always_said(model, folder):
    from dataflex_core.trainer.checkpoint_files import read_state

    args = arguments(model, folder, {}, max_steps=3, save_strategy="steps", save_steps=3)
    output = train(args, selector="random")
    assert set(read_state(output / "checkpoint-3")["provenance"]["data"]) == {"some"}


def test_a_column_that_the_run_does_not_carry_is_told_before_the_model_loads(model, folder):
    with pytest.raises(UnmetNeed, match=r"the column quality.*dataflex.columns: \[source, quality\]"):
        train(arguments(model, folder, {"columns": ["source"]}), catalog=catalog(), selector="knowing")


def test_data_that_plain_llamafactory_has_saved_is_said_to_have_no_rows(model, folder):
    args = arguments(model, folder, {}, tokenized_path=str(folder / "saved"), max_steps=3)
    plain = {key: value for key, value in args.items() if key != "dataflex"}
    train_plain(plain)
    events: list[dict] = []
    train(args, events=events, selector="random")
    said = [event["text"] for event in of_kind(events, "notice")]
    assert any(str(folder / "saved") in text and "which rows" in text for text in said)
    with pytest.raises(DataError, match=r"nobody knows which rows.*folder that does not exist yet"):
        train(args, catalog=catalog(), selector="asking")


def test_a_weighter_alone_says_that_domains_by_column_have_no_effect(model, folder):
    events: list[dict] = []
    train(arguments(model, folder, DOMAINS, max_steps=3), catalog=catalog(), events=events, weighter="knowing")
    assert of_kind(events, "start")[0]["domains"] == {"some": 38}
    assert any("domain_column has no effect" in event["text"] for event in of_kind(events, "notice"))
