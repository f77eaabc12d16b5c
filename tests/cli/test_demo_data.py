"""The embedded demo: what it trains on, and that writing it is all or nothing."""

from __future__ import annotations

import bisect
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dataflex_cli.demo.library import library_samples
from dataflex_cli.demo.model import write_model
from dataflex_cli.demo.sample import shorten
from dataflex_cli.demo.texts import TARGET_DOMAIN, DemoTexts, collect_texts
from dataflex_cli.demo.write import write_demo
from dataflex_core.errors import DataError, InvalidConfig


@pytest.fixture(scope="module")
def texts() -> DemoTexts:
    return collect_texts()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demo(tmp_path_factory.mktemp("demo") / "a demo: here", seed=3)


@pytest.fixture(scope="module")
def settings(config: Path) -> dict[str, Any]:
    loaded = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def rows(config: Path, name: str) -> list[dict[str, str]]:
    loaded = json.loads((config.parent / "data" / f"{name}.json").read_text(encoding="utf-8"))
    assert isinstance(loaded, list)
    return loaded


def run_python(program: str, *arguments: str, hash_seed: int = 0) -> str:
    """The last line that ``program`` prints in a fresh interpreter."""
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.splitlines()[-1]


def test_enough_samples_in_domains_of_equal_size(texts: DemoTexts) -> None:
    sizes = {domain: len(samples) for domain, samples in texts.domains.items()}
    assert len(sizes) >= 3
    assert sum(sizes.values()) >= 1500
    assert max(sizes.values()) <= 1.5 * min(sizes.values())
    assert len(texts.target) >= 40
    assert len(texts.held_out) >= 40


def test_every_answer_is_short_and_given_once(texts: DemoTexts) -> None:
    outputs = [(domain, sample.output) for domain, samples in texts.domains.items() for sample in samples]
    assert len(set(outputs)) == len(outputs)
    assert all(24 <= len(output) <= 400 for _, output in outputs)


def test_training_the_target_and_what_is_held_out_are_disjoint(texts: DemoTexts) -> None:
    training = [sample for samples in texts.domains.values() for sample in samples]
    for one, other in ((texts.target, training), (texts.held_out, training), (texts.held_out, texts.target)):
        assert {s.topic for s in one}.isdisjoint(s.topic for s in other if s in texts.domains[TARGET_DOMAIN])
        assert {s.instruction for s in one}.isdisjoint(s.instruction for s in other)
        assert {s.output for s in one}.isdisjoint(s.output for s in other)
    assert {s.topic for s in texts.held_out}.isdisjoint(s.topic for s in texts.target)


def test_collecting_twice_gives_the_same(texts: DemoTexts) -> None:
    assert collect_texts() == texts


def test_collecting_depends_on_no_hash_seed_and_on_no_import() -> None:
    import torch  # noqa: F401
    import transformers.utils.logging  # noqa: F401  # it adds methods to logging.Logger, and torch replaces inspect's

    program = "from dataflex_cli.demo.texts import collect_texts as c\nprint(ascii(c().everything()))"
    assert run_python(program, hash_seed=7) == ascii(collect_texts().everything())


def test_a_python_without_docstrings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataflex_cli.demo.library.inspect.cleandoc", lambda text: "")
    with pytest.raises(DataError, match="not enough"):
        collect_texts()


def test_a_signature_that_python_cannot_evaluate_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = inspect.signature

    def failing(value: Any) -> inspect.Signature:
        if value is bisect.insort_right:
            raise AttributeError("EPOLLIN")
        return evaluated(value)

    monkeypatch.setattr("dataflex_cli.demo.library.inspect.signature", failing)
    questions = {sample.instruction for sample in library_samples()["signatures"]}
    assert "Write the signature of bisect.bisect_right." in questions
    assert "Write the signature of bisect.insort_right." not in questions


def test_long_text_is_cut_where_something_ends() -> None:
    assert shorten("One line.\n\nAnother line of text.") == "One line.\n\nAnother line of text."
    assert shorten("First paragraph, complete.\n\n" + "x" * 500) == "First paragraph, complete."
    assert shorten("A sentence that is complete. " + "word " * 100) == "A sentence that is complete."
    assert shorten("word " * 100).endswith("word")


def test_the_files_are_what_the_configuration_names(config: Path, settings: dict[str, Any]) -> None:
    folder = config.parent
    info = json.loads((folder / "data" / "dataset_info.json").read_text(encoding="utf-8"))
    names = [*settings["dataset"].split(","), *settings["eval_dataset"].split(",")]
    assert sorted(info) == sorted(names)
    assert all((folder / "data" / info[name]["file_name"]).is_file() for name in names)
    assert all(set(row) == {"instruction", "input", "output"} for name in names for row in rows(config, name))
    assert Path(settings["dataset_dir"]) == folder / "data"
    assert Path(settings["model_name_or_path"]) == folder / "model"
    assert Path(settings["output_dir"]).parent == folder
    assert settings["dataflex"] == {
        "warmup_steps": 10,
        "update_steps": 10,
        "updates": 4,
        "candidates": "all",
        "exact": 0.25,
        "targets": ["target"],
        "selector": {"name": "less"},
    }


def test_no_path_of_this_machine_becomes_a_sample():
    samples = collect_texts().domains["signatures"]
    assert not any(sys.prefix in s.output or sys.executable in s.output for s in samples)
    assert not any("architecture(" in s.output for s in samples), "its default is sys.executable"


def test_the_tokenizer_gives_back_every_text(config: Path, settings: dict[str, Any]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(config.parent / "model")
    special = [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.unk_token]
    assert special == ["<s>", "</s>", "<pad>", "<unk>"]
    assert tokenizer.convert_tokens_to_ids(special) == [0, 1, 2, 3]
    encoded = [tokenizer.encode(row["output"]) for row in rows(config, "functions")]
    assert [tokenizer.decode(ids) for ids in encoded] == [row["output"] for row in rows(config, "functions")]
    assert tokenizer.decode(tokenizer.encode("naïve ☃ 数")) == "naïve ☃ 数"
    assert sum(len(ids) for ids in encoded) / len(encoded) < settings["cutoff_len"] / 2


def test_the_model_is_small_and_complete(config: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, loading = AutoModelForCausalLM.from_pretrained(config.parent / "model", output_loading_info=True)
    assert not any(loading.values()), loading
    assert 1_000_000 <= sum(parameter.numel() for parameter in model.parameters()) <= 2_000_000
    tokenizer = AutoTokenizer.from_pretrained(config.parent / "model")
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id


def test_the_weights_are_decided_by_the_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_model(tmp_path / name, ["some text", "some more text"], seed=seed)
    first, same, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert first == same
    assert first != other


def test_writing_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from dataflex_cli.demo.write import write_demo\n"
        "write_demo(Path(sys.argv[1]))\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    assert run_python(program, str(tmp_path / "demo")) == "set()"


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(InvalidConfig) as refusal:
        write_demo(folder)
    assert refusal.value.hint
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("dataflex_cli.demo.write.write_model", full)
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(InvalidConfig, match="no space left"):
        write_demo(folder)
    assert list(tmp_path.rglob("*")) == [folder]


def test_the_entry_point_imports_nothing_heavy() -> None:
    heavy = {"torch", "transformers", "tokenizers", "numpy"}
    program = f"import sys, dataflex_cli.demo.write; print({heavy} & set(sys.modules))"
    assert run_python(program) == "set()"
