"""Each check catches what it is for."""

from __future__ import annotations

import pytest

from conformance.broken import BROKEN
from dataflex_core import Kind
from dataflex_core.testing import CheckFailed, all_checks, parametrize_with_checks


def case(spec, check):
    """The one check of a strategy, to be called."""
    cases = [made.values[0] for made in parametrize_with_checks([spec]).args[1]]
    (found,) = [made for made in cases if made.id == f"{spec.kind}-{spec.name}-{check}"]
    return found


@pytest.mark.parametrize(("check", "spec", "said"), BROKEN, ids=[f"{c}-{s.name}" for c, s, _ in BROKEN])
def test_a_check_catches_what_it_is_for(check, spec, said):
    with pytest.raises(CheckFailed) as caught:
        case(spec, check)()
    assert said in str(caught.value)


@pytest.mark.parametrize("check", all_checks())
def test_every_check_is_proven_by_a_broken_strategy(check):
    assert check in {name for name, _, _ in BROKEN}


@pytest.mark.parametrize("kind", Kind)
def test_every_check_says_what_it_promises(kind):
    known = all_checks(kind)
    assert len(known) >= 18
    assert all(text.endswith(".") and "\n" not in text for text in known.values())
    assert known.items() <= all_checks().items()
