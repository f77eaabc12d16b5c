"""Only dataflex_core.llamafactory spells what LLaMA-Factory calls its modules, arguments and environment variables."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from dataflex_core.llamafactory import args, environment
from dataflex_core.llamafactory.keys import known_keys

ROOT = Path(__file__).parents[2]
SOURCES = [
    source
    for package in ("core", "strategies", "cli")
    for source in sorted(ROOT.glob(f"dataflex-{package}/src/**/*.py"))
    if "dataflex_core/llamafactory" not in source.as_posix()
]
ARGUMENTS = known_keys() or frozenset()
# Arguments whose names are words of something else, too. As a key of the run's arguments they are found all the same.
ELSEWHERE = {
    "warmup_steps": "a key of the dataflex: section, and of the journal",
    "seed": "of the journal, and a parameter of 1.x's components",
    "temperature": "a mixer and its parameter, and how a strategy has completions drawn",
    "max_new_tokens": "transformers' generation settings",
    "top_p": "transformers' generation settings",
    "use_cache": "what a model's forward is asked for",
    "trust_remote_code": "what transformers' from_pretrained is asked for",
    "deepspeed": "a distribution",
    "max_length": "a bound of annotated-types",
    "cache_dir": "a parameter of 1.x's components",
    "max_samples": "a parameter of 1.x's reorders",
}


def spelt(tree: ast.Module) -> set[str]:
    """What a module spells of LLaMA-Factory: strings, ``KEY=`` words, names in ``dict(...)``; docstrings are prose."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                key = text.partition("=")[0]
                found |= {key} & (ARGUMENTS - ELSEWHERE.keys() | environment.VARIABLES)
            case ast.Call(func=ast.Name(id="dict"), keywords=given):
                found |= {keyword.arg for keyword in given} & (ARGUMENTS - ELSEWHERE.keys())
            case ast.Subscript(value=holder, slice=ast.Constant(value=key)) if of_a_run(holder):
                found |= {key} & ARGUMENTS
            case ast.Call(func=ast.Attribute(value=holder), args=[ast.Constant(value=key), *_]) if of_a_run(holder):
                found |= {key} & ARGUMENTS
            case ast.Compare(left=ast.Constant(value=key), comparators=[holder]) if of_a_run(holder):
                found |= {key} & ARGUMENTS
    return found


def of_a_run(holder: ast.expr) -> bool:
    return re.fullmatch(r"(.*[._])?args", ast.unparse(holder)) is not None


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_spells_its_arguments_or_variables(source):
    assert spelt(ast.parse(source.read_text(encoding="utf-8"))) == set()


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_module_imports_it(source):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)} | {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    assert not {name for name in imported if name.split(".")[0] == "llamafactory"}


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("config.args['cutoff_len']", {"cutoff_len"}),
        ("args.get('seed', 0)", {"seed"}),
        ("'warmup_steps' in run_args", {"warmup_steps"}),
        ("kept = {'max_steps': 3}", {"max_steps"}),
        ("VOLATILE = ('output_dir',)", {"output_dir"}),
        ("words = ['resume_from_checkpoint=true']", {"resume_from_checkpoint"}),
        ("f'dataset={name}'", {"dataset"}),
        ("dict(learning_rate=1.0)", {"learning_rate"}),
        ("env.get('NNODES')", {"NNODES"}),
        ("event['seed'], 'say cutoff_len in prose'", set()),
    ],
)
def test_the_check_sees(code, found):
    assert spelt(ast.parse(code)) == found


def test_every_exception_is_an_argument_and_used():
    texts = {
        node.value
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert ELSEWHERE.keys() <= ARGUMENTS & texts


def test_what_is_read_of_the_arguments_is_an_argument():
    tree = ast.parse(Path(args.__file__).read_text(encoding="utf-8"))
    keys = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[a-z_]+", node.value)
    }
    assert "cutoff_len" in keys
    assert keys - ARGUMENTS <= {"use_ray"}, "LLaMA-Factory took this one from a configuration, once"
