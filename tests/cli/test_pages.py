"""Pages and the numbers beside them: written whole, and over nothing that is somebody else's."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from dataflex_cli.pages.writing import write_page
from dataflex_core.errors import RunFailed, UsageError

HTML = '<!doctype html>\n<meta name="generator" content="dataflex">\n<p>'
NUMBERS = '{\n "generator": "dataflex",\n "schema": 1,\n "run": {}}'


def _files(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def test_a_page_is_written_again(tmp_path):
    for more in ("old", "new"):
        assert write_page(tmp_path / "deep" / "a.html", HTML + more, NUMBERS) == tmp_path / "deep" / "a.json"
    assert _files(tmp_path / "deep") == {"a.html": HTML + "new", "a.json": NUMBERS}
    assert len(list((tmp_path / "deep").iterdir())) == 2


def test_a_name_in_no_encoding_is_escaped(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    numbers = json.dumps({"generator": "dataflex", "run": name, "path": "\\" + name}, ensure_ascii=False)
    write_page(tmp_path / f"{name}.html", HTML + name, numbers)
    assert (tmp_path / f"{name}.html").read_text().endswith("caf\\udce9")
    assert json.loads((tmp_path / f"{name}.json").read_text())["path"] == "\\" + name


@pytest.mark.parametrize("at", [1, 2], ids=["the page", "the numbers"])
def test_a_page_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch, at):
    write_page(tmp_path / "a.html", HTML + "old", NUMBERS)
    before, calls = _files(tmp_path), []
    write = Path.write_bytes

    def fails(self, data):
        calls.append(self)
        if len(calls) == at:
            write(self, data[:5])
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(RunFailed, match="No space left"):
        write_page(tmp_path / "a.html", HTML + "new", NUMBERS)
    assert _files(tmp_path) == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("place", [".", "", "/", "folder", "pipe", "folder.html", "of/a/file/a.html"])
def test_what_can_hold_no_page_is_refused(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "of").write_text("a file")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError) as told:
        write_page(Path(place), HTML, NUMBERS)
    assert told.value.hint
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


OTHERS = {
    "a model's configuration": ("config.json", '{"model_type": "llama"}'),
    "a list": ("config.json", '["schema", "run"]'),
    "no JSON": ("config.json", "{"),
    "numbers of another kind": ("config.json", '{"schema": 1, "run": "nightly"}'),
    "a page of one's own": ("config.html", "<!DOCTYPE html>\n<title>mine</title>"),
    "a page of another generator": ("config.html", '<!doctype html>\n<meta name="generator" content="Hugo">'),
    "a journal": ("config.html", '{"event": "start"}\n'),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_file_that_is_somebody_elses_is_not_written_over(tmp_path, other):
    name, text = other
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="is there, and is not"):
        write_page(tmp_path / "config.html", HTML, NUMBERS)
    assert _files(tmp_path) == {name: text}


@pytest.mark.parametrize("text", ["", NUMBERS.replace("run", "runs")])
def test_numbers_of_before_are_written_over(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    write_page(tmp_path / "a.html", HTML, NUMBERS)
    assert _files(tmp_path) == {"a.html": HTML, "a.json": NUMBERS}


def test_a_link_is_followed_and_who_may_read_it_stays(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "real.html").write_text(HTML)
    (kept / "real.html").chmod(0o600)
    (tmp_path / "a.html").symlink_to(kept / "real.html")
    write_page(tmp_path / "a.html", HTML + "new", NUMBERS)
    assert (tmp_path / "a.html").is_symlink()
    assert _files(kept) == {"real.html": HTML + "new"}
    assert stat.S_IMODE((kept / "real.html").stat().st_mode) == 0o600


def test_a_page_and_numbers_that_are_one_file_are_refused(tmp_path):
    (tmp_path / "a.html").write_text("")
    (tmp_path / "a.json").symlink_to(tmp_path / "a.html")
    with pytest.raises(UsageError, match="are one file"):
        write_page(tmp_path / "a.html", HTML, NUMBERS)
