"""Every sample knows the rows that it was made of, and nothing that LLaMA-Factory makes of them is any different."""

from __future__ import annotations

import csv
import json
import logging
import os
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from datasets import Dataset
from datasets.arrow_writer import OptimizedTypedSequence
from support import base_args

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.data import load_by_domain, load_whole
from dataflex_core.llamafactory.loading import Loading
from dataflex_core.llamafactory.raw import RawRows
from dataflex_core.llamafactory.reasons import reason
from dataflex_core.llamafactory.traced import Wanted
from dataflex_core.rows import Row, Source
from dataflex_core.scoring.fingerprint import digest_of_samples

NOTHING = Wanted()
SOURCES = ("web", "code", "books")


def alpaca(prefix, numbers, *, dropped=()):
    """Rows that say their number; those of ``dropped`` have no answer."""
    return [
        {
            "instruction": f"say {prefix} {i}",
            "input": "",
            "output": None if i in dropped else " ".join(["cat"] * (1 + i % 5)),
            "quality": i / 2,
            "rank": i,
            "good": i % 2 == 0,
            "source": SOURCES[i % 3],
        }
        for i in numbers
    ]


def sharegpt(prefix, count, *, lone=(), turned=(), long=()):
    """Likewise as turns: ``lone`` rows have no answer, ``turned`` ones begin with it, ``long`` ones are cut."""
    rows = []
    for i in range(count):
        turns = [
            {"from": "human", "value": f"say {prefix} {i}"},
            {"from": "gpt", "value": " ".join(["cat"] * (200 if i in long else 1 + i % 5))},
        ]
        turns = turns[:1] if i in lone else turns[::-1] if i in turned else turns
        rows.append({"conversations": turns, "source": SOURCES[i % 3]})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data sets of every file type, one of them of several files, with rows that LLaMA-Factory leaves out."""
    made = tmp_path_factory.mktemp("rows")
    jsonl(made / "chat.jsonl", sharegpt("red", 30, lone=(3, 9), turned=(5,), long=(20, 22)))
    (made / "plain.json").write_text(json.dumps(alpaca("blue", range(25), dropped=(0, 7))))
    jsonl(made / "texts.jsonl", [{"text": f"say red {i} " + "cat " * (i % 9)} for i in range(40)])
    with (made / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["instruction", "input", "output"])
        writer.writeheader()
        for row in alpaca("sea", range(20)):
            writer.writerow({key: row[key] for key in writer.fieldnames})
    pa.parquet.write_table(pa.Table.from_pylist(alpaca("fly", range(18), dropped=(4,))), made / "table.parquet")
    (made / "several").mkdir()
    first = 0
    for name, count in {"b": 7, "a": 12, "c": 3}.items():
        jsonl(made / "several" / f"{name}.jsonl", alpaca("bird", range(first, first + count), dropped=(8,)))
        first += count
    turns = {"formatting": "sharegpt"}
    index = {
        "chat": {"file_name": "chat.jsonl", **turns},
        "few": {"file_name": "chat.jsonl", "num_samples": 12, **turns},
        "many": {"file_name": "chat.jsonl", "num_samples": 45, **turns},
        "part": {"file_name": "chat.jsonl", "split": "train[4:25]", **turns},
        "plain": {"file_name": "plain.json"},
        "texts": {"file_name": "texts.jsonl", "columns": {"prompt": "text"}},
        "csv": {"file_name": "table.csv"},
        "parquet": {"file_name": "table.parquet"},
        "several": {"file_name": "several"},
    }
    (made / "dataset_info.json").write_text(json.dumps(index))
    return made


def jsonl(path, rows):
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")


@pytest.fixture
def loading(model, folder, tmp_path):
    """Load as a run does: what was loaded, and what LLaMA-Factory loads with the same draws, alone."""

    def loaded(how, wanted=NOTHING, *, compare=True, cutoff_len=32, data=folder, generate=False, targets=(), **changes):
        from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
        from llamafactory.hparams import get_train_args
        from llamafactory.model import load_tokenizer

        args = base_args(model, data, tmp_path / "out", cutoff_len=cutoff_len, **changes)
        model_args, data_args, training_args, finetuning_args, _ = get_train_args(args)
        training_args.predict_with_generate = generate
        tokenizer = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)

        def load(narrowed):
            return get_dataset(template, model_args, narrowed, training_args, stage=finetuning_args.stage, **tokenizer)

        np.random.seed(0)  # what `num_samples` draws from
        ours = how(load, data_args, Loading(seed=training_args.seed, wanted=wanted, targets=targets))
        np.random.seed(0)
        return ours, load(data_args) if compare else None, tokenizer["tokenizer"]

    return loaded


@cache
def rows_of(file: str) -> list[str]:
    """What the rows of a file ask for, read without LLaMA-Factory and datasets."""
    path = Path(file)
    if path.suffix == ".csv":
        rows = list(csv.DictReader(path.open()))
    elif path.suffix == ".parquet":
        rows = pa.parquet.read_table(path).to_pylist()
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        rows = json.loads(path.read_text())
    return [_asked(row) for row in rows]


def _asked(row) -> str:
    if "conversations" in row:
        return next(turn["value"] for turn in row["conversations"] if turn["from"] == "human")
    return " ".join((row.get("instruction") or row["text"]).split()[:3])


def check(loaded, origins, tokenizer, *, whole=True):
    """Each sample has the text of its rows, in their order, and of no other."""
    assert len(origins) == len(loaded)
    for sample, made in enumerate(loaded):
        rows = origins.of(sample)
        text = " ".join(tokenizer.decode(made["input_ids"]).split())
        asked = [rows_of(row.file)[row.row - 1] for row in rows]
        if not whole:  # blocks begin and end within rows
            asked = asked[1:-1]
        positions = [f"{text} ".find(f"{one} ") for one in asked]
        assert -1 not in positions, (sample, rows, text)
        assert positions == sorted(positions)
        assert text.count("say ") == len(asked) or not whole


CASES = {
    "rows dropped before": {"dataset": "chat"},
    "max_samples": {"dataset": "chat", "max_samples": 15},
    "fewer than there are": {"dataset": "few"},
    "more than there are": {"dataset": "many"},
    "both": {"dataset": "many", "max_samples": 20},
    "a slice": {"dataset": "part"},
    "json": {"dataset": "plain"},
    "csv": {"dataset": "csv"},
    "parquet": {"dataset": "parquet"},
    "several files": {"dataset": "several"},
    "a part of several files": {"dataset": "several", "max_samples": 16},
    "workers": {"dataset": "chat", "preprocessing_num_workers": 2, "overwrite_cache": True},
    "small groups": {"dataset": "several", "preprocessing_batch_size": 4},
    "packed": {"dataset": "chat", "packing": True},
    "packed, cleanly": {"dataset": "several", "neat_packing": True, "preprocessing_batch_size": 6},
    "packed by workers": {"dataset": "several", "packing": True, "preprocessing_num_workers": 2},
    "held out": {"dataset": "chat", "val_size": 0.2},
    "held out of several": {"dataset": "chat,plain,several", "val_size": 0.2},
    "a number held out": {"dataset": "several,chat", "val_size": 7, "mix_strategy": "interleave_over"},
    "held out of draws": {"dataset": "few,plain", "val_size": 20},
    "held out and packed": {"dataset": "chat,several", "val_size": 0.3, "packing": True},
    "plain text": {"dataset": "texts", "stage": "pt", "packing": False},
}


@pytest.mark.parametrize("how", [load_whole, load_by_domain])
@pytest.mark.parametrize("case", CASES)
def test_samples_know_their_rows_and_are_llamafactorys_to_the_bit(loading, how, case):
    ours, plain, tokenizer = loading(how, **CASES[case])
    train = ours.module["train_dataset"]
    check(train, ours.rows.origins, tokenizer)
    if "val_size" not in CASES[case] or how is load_whole:
        assert train.features == plain["train_dataset"].features
        assert digest_of_samples(train) == digest_of_samples(plain["train_dataset"])
    for name, held in ours.targets.items():
        check(held, ours.target_rows[name].origins, tokenizer)


@pytest.mark.parametrize("generate", [False, True])
@pytest.mark.parametrize("case", [case for case in CASES if "val_size" in CASES[case]])
def test_what_is_held_out_is_what_llamafactory_holds_out_and_is_not_trained_on(loading, case, generate):
    changes = {**CASES[case], "mix_strategy": "concat"}
    ours, plain, tokenizer = loading(load_by_domain, generate=generate, **changes)
    assert digest_of_samples(ours.targets["validation"]) == digest_of_samples(plain["eval_dataset"])
    trained, held = (
        {row for i in range(len(known.origins)) for row in known.origins.of(i)}
        for known in (ours.rows, ours.target_rows["validation"])
    )
    assert not trained & held
    if not changes.get("packing"):
        asked = [
            sorted(tokenizer.decode(made["input_ids"]) for made in module["train_dataset"])
            for module in (ours.module, plain)
        ]
        assert asked[0] == asked[1]


def test_rows_that_are_held_out_may_not_be_all_of_a_data_set_or_too_few_to_make_a_sample(loading, tmp_path):
    jsonl(tmp_path / "one.jsonl", alpaca("red", [1]))
    jsonl(tmp_path / "more.jsonl", alpaca("blue", range(9)))
    texts = [{"text": "say red"}] * 9
    jsonl(tmp_path / "texts.jsonl", [*texts, {"text": "say " + "cat " * 99}])
    index = {name: {"file_name": f"{name}.jsonl"} for name in ("one", "more")}
    index["texts"] = {"file_name": "texts.jsonl", "columns": {"prompt": "text"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match="val_size holds out every row of data set one: 1 of 1"):
        loading(load_by_domain, dataset="one,more", val_size=0.9, data=tmp_path, compare=False)
    with pytest.raises(DataError, match="of what val_size holds out: data set texts has no sample left after packing"):
        loading(load_by_domain, dataset="texts", val_size=1e-5, stage="pt", data=tmp_path, compare=False)


def test_what_a_killed_run_had_tokenised_is_gone_on_with_and_nothing_held_out_comes_in(loading, tmp_path):
    import shutil

    run = {"dataset": "chat,plain", "tokenized_path": str(tmp_path / "saved"), "val_size": 0.2, "compare": False}
    first, _, _ = loading(load_by_domain, **run)
    shutil.rmtree(tmp_path / "saved-dataflex" / "train" / "plain")
    again, _, tokenizer = loading(load_by_domain, **run)
    for name in ("train_dataset", "eval_dataset"):
        assert digest_of_samples(again.module[name]) == digest_of_samples(first.module[name])
    check(again.module["train_dataset"], again.rows.origins, tokenizer)
    shutil.rmtree(tmp_path / "saved-dataflex" / "validation")
    with pytest.raises(DataError, match=r"train/chat was tokenised with the rows that val_size is to hold out"):
        loading(load_by_domain, **run)


@pytest.mark.parametrize("size", [5, 1000])
def test_blocks_of_plain_text_know_all_rows_that_they_are_cut_from(loading, size):
    ours, plain, tokenizer = loading(load_by_domain, dataset="texts", stage="pt", preprocessing_batch_size=size)
    train, origins = ours.module["train_dataset"], ours.rows.origins
    assert digest_of_samples(train) == digest_of_samples(plain["train_dataset"])
    check(train, origins, tokenizer, whole=False)
    lengths = [
        len(tokenizer.encode(f"say red {i} " + "cat " * (i % 9), add_special_tokens=False)) + 1 for i in range(40)
    ]
    blocks, found = [], 0
    for group in range(0, 40, size):
        owners = np.repeat(np.arange(group, min(group + size, 40)), lengths[group : group + size]) + 1
        blocks += [sorted(set(owners[i : i + 32])) for i in range(0, len(owners) // 32 * 32, 32)]
    for sample in range(len(train)):
        found = [row.row for row in origins.of(sample)]
        assert found == blocks[sample]
    lost = sorted(set(range(1, 41)) - {row for block in blocks for row in block})
    assert bool(lost) == ("texts" in ours.rows.dropped)
    if lost:
        told = ours.rows.dropped["texts"]
        assert (told.count, told.row) == (len(lost), lost[0])
        assert "do not fill a block of 32" in told.reason


@pytest.mark.parametrize("strategy", ["concat", "interleave_under", "interleave_over"])
@pytest.mark.parametrize("packing", [False, True])
def test_data_sets_that_are_mixed_keep_their_rows(loading, strategy, packing):
    ours, plain, tokenizer = loading(load_whole, dataset="chat,plain,several", mix_strategy=strategy, packing=packing)
    check(ours.module["train_dataset"], ours.rows.origins, tokenizer)
    assert digest_of_samples(ours.module["train_dataset"]) == digest_of_samples(plain["train_dataset"])
    sets = {row.dataset for i in range(len(ours.rows.origins)) for row in ours.rows.origins.of(i)}
    assert sets == {"chat", "plain", "several"}


@pytest.fixture(autouse=True)
def numbers_stored_as_ever(monkeypatch):
    """LLaMA-Factory by itself changes it for good."""
    monkeypatch.setattr(OptimizedTypedSequence, "__init__", OptimizedTypedSequence.__init__)


@pytest.mark.parametrize("how", [load_whole, load_by_domain])
def test_numbers_are_stored_by_later_runs_as_by_those_before(loading, how):
    stored = OptimizedTypedSequence.__init__
    loading(how, dataset="several", neat_packing=True, packing=True, compare=False)
    assert OptimizedTypedSequence.__init__ is stored


def test_target_sets_know_their_rows(loading):
    ours, _, tokenizer = loading(load_by_domain, dataset="chat", eval_dataset="plain,several", compare=False)
    for name, held in ours.targets.items():
        check(held, ours.target_rows[name].origins, tokenizer)
    ours, _, tokenizer = loading(load_whole, dataset="chat", eval_dataset="plain", generate=True, compare=False)
    check(ours.targets["eval"], ours.target_rows["eval"].origins, tokenizer)


def test_a_set_that_is_no_target_is_evaluated_on_alone(loading, capfd):
    sets = {"dataset": "chat,plain", "eval_dataset": "several,csv", "eval_on_each_dataset": True, "compare": False}
    ours, _, _ = loading(load_by_domain, **sets, targets=("csv",))
    assert list(ours.module["eval_dataset"]) == ["several", "csv"]
    assert (list(ours.targets), list(ours.target_rows)) == (["csv"], ["csv"])
    assert capfd.readouterr().out.count("input_ids:") == 1, "a sample is shown once, not once a data set"
    with pytest.raises(DataError, match="targets names chat, and the run is evaluated on several, csv"):
        loading(load_by_domain, **sets, targets=("chat",))


def test_a_row_is_named_by_data_set_file_and_number(loading, folder):
    ours, _, _ = loading(load_by_domain, dataset="several", compare=False)
    files = [source.files for source in ours.rows.origins.sources]
    assert sorted(files[0]) == [str(folder / "several" / f"{name}.jsonl") for name in "abc"]
    every = [ours.rows.origins.of(i) for i in range(len(ours.rows.origins))]
    assert (Row(dataset="several", file=str(folder / "several" / "c.jsonl"), row=3),) in every
    assert str(every[0][0]) == f"row 1 of {every[0][0].file}"


def test_rows_that_are_left_out_or_cut_are_counted_by_domain_with_the_first_and_its_reason(loading, folder):
    ours, _, _ = loading(load_by_domain, dataset="chat,plain,csv", compare=False)
    dropped, cut = ours.rows.dropped, ours.rows.cut
    assert dropped.keys() == {"chat", "plain"}
    assert (dropped["chat"].count, dropped["chat"].row, dropped["chat"].dataset) == (3, 4, "chat")
    assert dropped["chat"].reason == "Invalid message count"
    assert (dropped["plain"].count, dropped["plain"].row) == (2, 1)
    assert dropped["plain"].reason == "Dropped invalid example: it has no answer"
    assert dropped["plain"].file == str(folder / "plain.json")
    assert cut.keys() == {"chat"}
    assert (cut["chat"].count, cut["chat"].row, cut["chat"].reason) == (2, 21, "longer than 32 tokens")


REASONS = {
    "Invalid role tag": {"conversations": [{"from": "gpt", "value": "a"}, {"from": "human", "value": "b"}]},
    "Invalid message count": {"conversations": [{"from": "human", "value": "a"}]},
    "Dropped invalid example: it has no answer": {"conversations": []},
}


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("packing", [False, True])
def test_the_reason_is_llamafactorys_own_where_it_gives_one(loading, tmp_path, reason, packing):
    jsonl(tmp_path / "odd.jsonl", [*[{**row, "source": None} for row in sharegpt("red", 5)], REASONS[reason]])
    index = {"odd": {"file_name": "odd.jsonl", "formatting": "sharegpt"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(index))
    ours, _, _ = loading(load_whole, dataset="odd", data=tmp_path, packing=packing, compare=False)
    assert ours.rows.dropped["odd"].row == 6
    assert ours.rows.dropped["odd"].reason == reason


def test_the_reason_is_heard_on_every_rank_and_however_little_is_logged(loading, monkeypatch):
    def on_a_quiet_rank(*row):
        level = logger.level
        with monkeypatch.context() as here:
            here.setenv("LOCAL_RANK", "1")
            logger.setLevel(logging.ERROR)
            try:
                said = reason(*row)
                assert (logger.level, os.environ["LOCAL_RANK"]) == (logging.ERROR, "1")
            finally:
                logger.setLevel(level)
        return said

    logger = logging.getLogger("llamafactory")
    monkeypatch.setattr("dataflex_core.llamafactory.tracing.reason", on_a_quiet_rank)
    ours, _, _ = loading(load_by_domain, dataset="chat", compare=False)
    assert ours.rows.dropped["chat"].reason == "Invalid message count"


@pytest.mark.parametrize("how", [load_whole, load_by_domain])
def test_data_of_which_no_row_becomes_a_sample_says_why(loading, tmp_path, how):
    jsonl(tmp_path / "odd.jsonl", sharegpt("red", 4, turned=range(4)))
    index = {"odd": {"file_name": "odd.jsonl", "formatting": "sharegpt"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=rf"odd has no sample left .* row 1 of {tmp_path}/odd.jsonl: Invalid role tag"):
        loading(how, dataset="odd", data=tmp_path, compare=False)


@pytest.mark.parametrize("stage", ["sft", "pt"])
def test_what_is_exactly_as_long_as_it_may_be_is_not_cut(loading, tmp_path, stage):
    # Question and answer make 7 + n + 1 tokens with the template, a text n + 2 with its end.
    short, long = {"sft": (25, 26), "pt": (30, 31)}[stage]
    rows = [{"instruction": "say", "output": " ".join(["cat"] * n), "text": "say " + "cat " * n} for n in (short, long)]
    jsonl(tmp_path / "odd.jsonl", rows)
    columns = {"prompt": "instruction", "response": "output"} if stage == "sft" else {"prompt": "text"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"odd": {"file_name": "odd.jsonl", "columns": columns}}))
    ours, _, _ = loading(load_whole, dataset="odd", data=tmp_path, stage=stage, packing=False, compare=False)
    assert [len(row["input_ids"]) for row in ours.module["train_dataset"]] == [32, 32]
    assert ours.rows.cut["odd"].count == 1
    assert ours.rows.cut["odd"].row == 2


@pytest.mark.parametrize("how", [load_whole, load_by_domain])
@pytest.mark.parametrize("changes", [{}, {"packing": True}, {"val_size": 0.2}], ids=str)
def test_rows_of_data_that_a_run_has_saved_are_kept_beside_it(loading, tmp_path, how, changes):
    both = {"dataset": "several,chat", "tokenized_path": str(tmp_path / "saved"), "compare": False, **changes}
    first, _, _ = loading(how, **both)
    again, _, tokenizer = loading(how, **both)
    check(again.module["train_dataset"], again.rows.origins, tokenizer)
    assert [again.rows.origins.of(i) for i in range(10)] == [first.rows.origins.of(i) for i in range(10)]
    assert (again.rows.dropped, again.rows.cut) == (first.rows.dropped, first.rows.cut)
    assert digest_of_samples(again.module["train_dataset"]) == digest_of_samples(first.module["train_dataset"])
    for name, held in again.targets.items():
        check(held, again.target_rows[name].origins, tokenizer)


def test_columns_of_saved_data_are_kept_too_and_a_new_one_is_refused(loading, tmp_path):
    saved = {"dataset": "plain", "tokenized_path": str(tmp_path / "saved"), "compare": False}
    wanted = Wanted(columns=("quality",), domain_column="source")
    first, _, _ = loading(load_by_domain, wanted, **saved)
    again, _, _ = loading(load_by_domain, wanted, **saved)
    np.testing.assert_array_equal(again.rows.columns["quality"], first.rows.columns["quality"])
    assert again.domains == first.domains
    with pytest.raises(DataError, match=r"saved without the column rank.*folder that does not exist yet"):
        loading(load_by_domain, Wanted(columns=("rank",)), **saved)


def test_rows_of_data_that_others_have_saved_are_not_known(loading, tmp_path):
    saved = {"dataset": "plain", "tokenized_path": str(tmp_path / "saved"), "compare": False}
    first, _, _ = loading(lambda load, data_args, how: load(data_args), **saved)
    ours, _, _ = loading(load_whole, **saved)
    assert ours.rows is None
    assert digest_of_samples(ours.module["train_dataset"]) == digest_of_samples(first["train_dataset"])
    with pytest.raises(DataError, match="holds tokenised samples without the column quality"):
        loading(load_whole, Wanted(columns=("quality",)), **saved)


def test_rows_that_lie_beside_other_data_are_not_taken_for_its_own(loading, tmp_path):
    import shutil

    saved = {"tokenized_path": str(tmp_path / "saved"), "compare": False}
    loading(load_whole, dataset="plain", **saved)
    shutil.rmtree(tmp_path / "saved")
    loading(lambda load, data_args, how: load(data_args), dataset="several", **saved)
    ours, _, _ = loading(load_whole, dataset="several", **saved)
    assert ours.rows is None


@contextmanager
def cached_in(path, monkeypatch):
    """`datasets` caches below ``path`` alone; what lies there, by name."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", path)
    yield lambda: {file.name for file in path.rglob("cache-*.arrow")}


@pytest.mark.parametrize("changes", [{}, {"packing": True}, {"preprocessing_num_workers": 2}], ids=str)
def test_what_was_tokenised_once_is_cached_and_converted_rows_are_llamafactorys_own(
    loading, tmp_path, monkeypatch, changes
):
    with cached_in(tmp_path / "cache", monkeypatch) as cached:
        loading(lambda load, data_args, how: load(data_args), dataset="chat", compare=False, **changes)
        plain = cached()
        loading(load_by_domain, dataset="chat", compare=False, **changes)
        once = cached()
        loading(load_by_domain, dataset="chat", compare=False, **changes)
    assert plain
    # The tokenised samples, which say their rows; what was converted before is there already.
    workers = changes.get("preprocessing_num_workers", 1)
    assert len(once - plain) == workers
    assert cached() == once


def test_columns_are_values_of_samples(loading):
    wanted = Wanted(columns=("quality", "rank", "good", "source"))
    ours, _, tokenizer = loading(load_by_domain, wanted, dataset="plain,several", compare=False)
    columns, origins = ours.rows.columns, ours.rows.origins
    assert [columns[name].dtype for name in wanted.columns] == [np.float64, np.int64, np.bool_, object]
    for sample, made in enumerate(ours.module["train_dataset"]):
        number = int(tokenizer.decode(made["input_ids"]).split("say")[1].split()[1])
        assert columns["quality"][sample] == number / 2
        assert columns["rank"][sample] == number
        assert columns["good"][sample] == (number % 2 == 0)
        assert columns["source"][sample] == SOURCES[number % 3]
    assert len(origins) == len(columns["rank"])


def test_a_column_that_is_not_there_is_told_with_data_set_and_file(loading, folder):
    with pytest.raises(DataError, match=rf"data set chat has no column quality: {folder}/chat.jsonl has conversations"):
        loading(load_by_domain, Wanted(columns=("quality",)), dataset="plain,chat", compare=False)
    with pytest.raises(DataError, match="did you mean 'quality'"):
        loading(load_by_domain, Wanted(columns=("qualty",)), dataset="plain", compare=False)


@pytest.mark.parametrize("wanted", [Wanted(columns=("quality",)), Wanted(domain_column="quality")])
def test_a_row_without_a_value_is_told(loading, tmp_path, wanted):
    rows = [{**row, "quality": i} for i, row in enumerate(alpaca("red", range(9)))]
    rows[4]["quality"] = rows[6]["quality"] = None
    del rows[7]["quality"]
    jsonl(tmp_path / "odd.jsonl", rows)
    (tmp_path / "dataset_info.json").write_text(json.dumps({"odd": {"file_name": "odd.jsonl"}}))
    said = rf"row 5 of {tmp_path}/odd.jsonl \(data set odd\) has no value in the column quality, and 2 more have none"
    with pytest.raises(DataError, match=said):
        loading(load_by_domain, wanted, dataset="odd", data=tmp_path, compare=False)


def test_packed_samples_have_no_column(loading):
    with pytest.raises(DataError, match="packing makes one of several rows"):
        loading(load_by_domain, Wanted(columns=("quality",)), dataset="plain", packing=True, compare=False)


@pytest.mark.parametrize("packing", [False, True])
def test_the_values_of_a_column_are_domains_whatever_data_set_they_are_in(loading, packing):
    wanted = Wanted(domain_column="source")
    ours, _, tokenizer = loading(load_by_domain, wanted, dataset="chat,plain", packing=packing, compare=False)
    assert [domain.name for domain in ours.domains] == sorted(SOURCES)
    check(ours.module["train_dataset"], ours.rows.origins, tokenizer)
    for domain in ours.domains:
        for sample in range(domain.start, domain.start + domain.size):
            for row in ours.rows.origins.of(sample):
                assert SOURCES[(row.row - 1) % 3] == domain.name
    assert sum(domain.size for domain in ours.domains) == len(ours.module["train_dataset"])
    assert {name: fact.count for name, fact in ours.rows.dropped.items()} == {"books": 1, "code": 1, "web": 3}


def test_domains_of_a_column_are_held_out_from_as_others_are(loading):
    ours, _, tokenizer = loading(
        load_by_domain, Wanted(domain_column="source"), dataset="chat", val_size=0.2, compare=False
    )
    assert sum(domain.size for domain in ours.domains) == len(ours.module["train_dataset"]) == 21
    check(ours.module["train_dataset"], ours.rows.origins, tokenizer)
    check(ours.targets["validation"], ours.target_rows["validation"].origins, tokenizer)


def test_numbers_name_domains_and_other_values_do_not(loading):
    ours, _, _ = loading(load_by_domain, Wanted(domain_column="rank"), dataset="parquet", compare=False)
    assert ours.domains[0].name == "0"
    with pytest.raises(DataError, match=r"has 0.0 in the column quality .*text or whole numbers"):
        loading(load_by_domain, Wanted(domain_column="quality"), dataset="parquet", compare=False)


def test_dates_and_true_and_false_name_domains_as_they_are_written():
    """Readers make dates of a column of texts like 2024-01-05."""
    rows = Dataset.from_dict({"day": [datetime(2024, 1, 5), datetime(2024, 1, 5, 3, 30)], "new": [True, False]})
    for column, names in (("day", ["2024-01-05", "2024-01-05 03:30:00"]), ("new", ["true", "false"])):
        raw = RawRows(domain_column=column)
        raw.add(Source(dataset="mine", files=("mine.json",), size=2, count=lambda _: 2), rows, dict)
        assert raw.domains(np.arange(2)).tolist() == names
