"""reference_checks.py: reference models are checked by their files, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dataflex_core.llamafactory.reference_checks import check_references, vocabulary
from dataflex_core.spec import Kind, StrategySpec

SPEC = StrategySpec(kind=Kind.SELECTOR, name="excess", target="m:C", summary="does it")
VOCAB = {"<pad>": 0, "the": 1, "cat": 2}
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}


def _write(folder: Path, **files: object) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        stem, _, suffix = name.rpartition("_")
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{stem}.{suffix}").write_text(text, encoding="utf-8")
    return folder


def _model(folder: Path, *, config: object = CONFIG, vocab: object = VOCAB, **files: object) -> Path:
    files = {"config_json": config, "tokenizer_json": {"model": {"vocab": vocab}}, "model_safetensors": "", **files}
    return _write(folder, **{name: content for name, content in files.items() if content is not None})


@pytest.fixture
def ours(tmp_path):
    return _model(tmp_path / "ours")


def _said(ours: Path, name: object) -> list[str]:
    found = check_references({"model_name_or_path": str(ours)}, SPEC, {"reference_model": str(name)})
    return [str(error) for error in found]


def test_a_model_of_the_same_family_passes_and_may_know_more_tokens(ours, tmp_path):
    more = {"added_tokens": [{"id": 4, "content": "<new>"}], "model": {"vocab": {**VOCAB, "sat": 3}}}
    assert _said(ours, _model(tmp_path / "theirs", tokenizer_json=more)) == []


@pytest.mark.parametrize("name", ["base", "someone/model", "model-of-the-hub"])
def test_what_does_not_lie_here_is_left_to_the_load(ours, name):
    assert _said(ours, name) == []


@pytest.mark.parametrize("name", ["/nowhere/at/all", "./nowhere", "~/nowhere"])
def test_a_path_that_leads_nowhere(ours, name):
    (said,) = _said(ours, name)
    assert said.startswith(f"selector excess: reference_model {name} does not exist (")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config": None}, "has no config.json (name the folder of a causal language model)"),
        ({"config": "{"}, "has a config.json that cannot be read"),
        ({"config": {"architectures": ["LlamaModel"]}}, "is no causal language model, but LlamaModel"),
        (
            {"config": {"architectures": ["T5ForConditionalGeneration"], "is_encoder_decoder": True}},
            "is no causal language model, but T5ForConditionalGeneration",
        ),
        ({"adapter_config_json": {}}, "is an adapter, not a whole model (merge it into its model first"),
        ({"model_safetensors": None}, "has no weights"),
        (
            {"model.safetensors.index_json": {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}},
            "lacks model-2.safetensors of its weights",
        ),
        ({"vocab": {**VOCAB, "cat": 3}}, "token 'cat' is 2 there and is 3 in it (use a model of the same family)"),
        ({"vocab": {"<pad>": 0, "the": 1}}, "token 'cat' is 2 there and is not in it"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_folder(ours, tmp_path, files, said):
    (error,) = check_references(
        {"model_name_or_path": str(ours)}, SPEC, {"reference_model": str(_model(tmp_path / "theirs", **files))}
    )
    assert said in str(error)
    assert error.key == ("dataflex", "selector", "reference_model")


@pytest.mark.parametrize("config", [{}, {"architectures": ["ChatModel"], "auto_map": {"AutoModelForCausalLM": "a.B"}}])
def test_a_configuration_that_does_not_say_or_brings_its_own_code_passes(ours, tmp_path, config):
    assert _said(ours, _model(tmp_path / "theirs", config=config)) == []


def test_a_file_is_no_model(ours):
    (said,) = _said(ours, ours / "config.json")
    assert "is not a folder" in said


def test_vocabularies_as_tokenizers_write_them(tmp_path):
    pieces = {"model": {"type": "Unigram", "vocab": [["<pad>", 0.0], ["the", -1.5], ["cat", -2]]}}
    added = {"model": {"vocab": {"<pad>": 0, "the": 1}}, "added_tokens": [{"id": 2, "content": "cat"}]}
    for number, files in enumerate(({"tokenizer_json": pieces}, {"tokenizer_json": added}, {"vocab_json": VOCAB})):
        assert vocabulary(_write(tmp_path / str(number), **files)) == VOCAB
    decoder = {"added_tokens_decoder": {"3": {"content": "<new>"}}}
    folder = _write(tmp_path / "more", vocab_json=VOCAB, tokenizer_config_json=decoder, added_tokens_json={"<own>": 4})
    assert vocabulary(folder, whole=True) == {**VOCAB, "<new>": 3, "<own>": 4}
    assert vocabulary(folder) == VOCAB
    assert vocabulary(_write(tmp_path / "unknown", tokenizer_model="")) is None


def test_it_agrees_with_the_tokenizer(model):
    from transformers import AutoTokenizer

    assert vocabulary(model) == AutoTokenizer.from_pretrained(model).get_vocab()
