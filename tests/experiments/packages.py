"""Text inside installed packages that is not Python's own: licences, readmes, and the docstrings of numeric libraries.

Sources are read, nothing is imported. Other versions of the packages give other samples.
"""

from __future__ import annotations

import ast
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from dataflex_cli.demo.sample import Sample, shorten

EXAMPLES = "examples"
_DOCUMENTED = ("numpy", "scipy", "scikit-learn", "networkx")
_LICENCE = re.compile(r"(licen[cs]e|copying|notice)", re.IGNORECASE)
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", re.MULTILINE)
_PARAMETER = re.compile(r"^(\*{0,2}\w[\w, *]*) : (.+)\n((?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
_LONGEST_FILE = 400_000


def package_samples() -> dict[str, list[Sample]]:
    """Samples of the domains ``licences``, ``readmes``, ``parameters`` and ``examples``."""
    parameters, examples = [], []
    for name, text in _docstrings():
        topic = ".".join(name.split(".")[:3])
        for title, section in _sections(text):
            if title == "Parameters":
                parameters += [
                    Sample(instruction=f"What is {word} in {name}?", output=shorten(f"{kind}. {said}"), topic=topic)
                    for word, kind, said in _parameters(section)
                ]
            elif title == "Examples" and ">>>" in section:
                code = "\n".join(line for line in section.splitlines() if line.startswith((">>>", "...")))
                examples.append(Sample(instruction=f"Show how {name} is used.", output=shorten(code), topic=topic))
    return {
        "licences": list(_licences()),
        "readmes": list(_readmes()),
        "parameters": parameters,
        EXAMPLES: examples,
    }


def _installed() -> list[importlib.metadata.Distribution]:
    return sorted(importlib.metadata.distributions(), key=lambda found: found.name.lower())


def _licences() -> Iterator[Sample]:
    for package in _installed():
        for file in package.files or ():
            if _LICENCE.search(file.name) and file.suffix.lower() in ("", ".txt", ".md", ".rst"):
                for paragraph in _paragraphs(_read(Path(str(file.locate())))):
                    yield Sample(
                        instruction=f"What does the licence of {package.name} say?",
                        output=paragraph,
                        topic=package.name,
                    )


def _readmes() -> Iterator[Sample]:
    for package in _installed():
        readme = package.metadata.get_payload()  # type: ignore[attr-defined]  # a message, whatever its type says
        for paragraph in _paragraphs(str(readme)):
            if len(re.findall(r"[A-Za-z]{2,}", paragraph)) >= 8 and "http" not in paragraph:
                question = f"What does the readme of {package.name} say?"
                yield Sample(instruction=question, output=paragraph, topic=package.name)


def _docstrings() -> Iterator[tuple[str, str]]:
    """Names of public functions and classes of the documented packages, with their docstrings."""
    for package in _DOCUMENTED:
        try:
            files = importlib.metadata.files(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in sorted(files):
            if file.suffix == ".py" and "tests" not in file.parts:
                module = ".".join(part for part in file.with_suffix("").parts if not part.startswith("_"))
                yield from _documented(module, _read(Path(str(file.locate()))))


def _documented(module: str, source: str) -> Iterator[tuple[str, str]]:
    if len(source) > _LONGEST_FILE:
        return
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node)
            if text:
                yield f"{module}.{node.name}", text


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Titles and bodies, as numpydoc underlines them."""
    parts = _SECTION.split(text)
    yield from zip(parts[1::2], parts[2::2], strict=True)


def _parameters(section: str) -> Iterator[tuple[str, str, str]]:
    for word, kind, said in _PARAMETER.findall(section):
        yield word, kind, re.sub(r"\s+", " ", said).strip()


def _paragraphs(text: str) -> Iterator[str]:
    for block in re.split(r"\n\s*\n", text):
        paragraph = shorten(re.sub(r"\s+", " ", block))
        if len(paragraph) >= 60:
            yield paragraph


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
