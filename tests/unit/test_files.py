"""Files and folders that arguments name are looked for before anything heavy."""

from __future__ import annotations

import pytest

from dataflex_core.llamafactory.files import check_files, is_missing, named_checkpoint, no_model


def _told(args):
    return [(fault.key, fault.message) for fault in check_files(args)]


@pytest.mark.parametrize("key", ["deepspeed", "fsdp_config", "accelerator_config"])
def test_settings_in_a_file(tmp_path, monkeypatch, key):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.json").write_text("{}")
    (tmp_path / "bad.json").write_text('{"a": 1,}')
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "binary.json").write_bytes(b"\xff")
    assert _told({key: "good.json"}) == _told({key: {"a": 1}}) == _told({key: '{"a": 1}'}) == _told({key: None}) == []
    for name, wrong in {
        "none.json": "does not exist",
        "/nowhere/ds": "does not exist",
        "bad.json": "is malformed: ",
        "list.json": "holds no settings",
        "binary.json": "cannot be read: ",
        "{bad": "is malformed: ",
    }.items():
        ((where, message),) = _told({key: name})
        assert where == (key,)
        assert wrong in message


def test_models_beside_the_trained_one(tmp_path):
    assert _told({"adapter_name_or_path": f"org/adapter,{tmp_path}"}) == []
    assert _told({"adapter_name_or_path": f"{tmp_path}, {tmp_path}/none"}) == [
        (("adapter_name_or_path",), f"adapter_name_or_path: {tmp_path}/none does not exist")
    ]


@pytest.mark.parametrize("given", [None, True, False, "true", "False", "none", "null", "", " "])
def test_no_checkpoint_is_named(given):
    args = {"resume_from_checkpoint": given}
    assert named_checkpoint(args) is None
    assert _told(args) == []


def test_a_checkpoint_that_is_not_there(tmp_path):
    (tmp_path / "file").write_text("")
    for name, wrong in {"file": "is no folder", "none": "does not exist"}.items():
        ((_, message),) = _told({"resume_from_checkpoint": f"{tmp_path}/{name}"})
        assert message == f"resume_from_checkpoint: {tmp_path}/{name} {wrong}"
    assert _told({"resume_from_checkpoint": str(tmp_path)}) == []


@pytest.mark.parametrize(
    ("files", "wrong"),
    [
        ({"config.json": "{}"}, None),
        ({"adapter_config.json": "{}"}, None),
        ({"weights.gguf": ""}, None),
        ({"wiki.json": "[]"}, "has no config.json"),
        ({}, "has no config.json"),
    ],
)
def test_a_folder_that_is_named_as_a_model(tmp_path, files, wrong):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    said = no_model(str(tmp_path))
    assert said is None if wrong is None else wrong in said


def test_a_file_is_no_model_and_a_name_may_be_the_hubs(tmp_path):
    (tmp_path / "run.yaml").write_text("a: 1")
    assert no_model(str(tmp_path / "run.yaml")).endswith("is a file, not a folder with a model")
    assert no_model("Qwen/Qwen2-0.5B") is None
    assert [is_missing(name) for name in ("Qwen/Qwen2", "m", "a b/c d", "a/b/c", "./m")] == [False] * 2 + [True] * 3
