"""Rewards of what a model has written: those that come along, and a user's own by name.

A reward is a function ``(prompt, completion, reference) -> float`` of three texts, the last of them the sample's own
answer: the higher, the better.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Reward = Callable[[str, str, str], float]

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
# Scripts without spaces between words: a character is a word there.
_ALONE = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")


def reward_of(name: str) -> Reward:
    """The reward of a name: ``exact-match``, ``rouge-l``, or ``module:function``.

    A module is looked for where Python looks, and then in the working directory. Raises `ValueError` with one line for
    what is no name, for what cannot be imported, whatever it raises, and for what does not take three texts.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"is none of {', '.join(BUILT_IN)}, and no module:function")
    module, _, attribute = name.partition(":")
    try:
        with _working_directory_last():
            function = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ValueError(f"cannot be imported: {type(error).__name__}: {error}".splitlines()[0]) from error
    try:
        inspect.signature(function).bind("prompt", "completion", "reference")
    except (TypeError, ValueError) as error:
        raise ValueError(f"is no function of (prompt, completion, reference): {error}") from error
    return function  # type: ignore[no-any-return]  # of another's module


def exact_match(prompt: str, completion: str, reference: str) -> float:
    """1 where a completion is the reference, but for space around it and for how much space there is within; else 0."""
    return float(completion.split() == reference.split())


def rouge_l(prompt: str, completion: str, reference: str) -> float:
    """ROUGE-L (Lin, 2004): the harmonic mean of the shares that the longest common subsequence of words is of each.

    Words are runs of letters and digits, in lower case; a character of Chinese, Japanese, Thai or Lao is a word.
    """
    from rapidfuzz.distance import LCSseq

    ours, theirs = (_WORDS.findall(text.lower()) for text in (completion, reference))
    if not ours or not theirs:
        return 0.0
    return 2 * LCSseq.similarity(ours, theirs) / (len(ours) + len(theirs))


BUILT_IN: dict[str, Reward] = {"exact-match": exact_match, "rouge-l": rouge_l}


@contextmanager
def _working_directory_last() -> Iterator[None]:
    """A script's own folder is on Python's path, and not where it was called."""
    here = str(Path.cwd())
    if here in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
