"""Care: what a strategy leaves as it found it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from dataflex_core.asking import KEEP_HINT
from dataflex_core.testing.checks import check
from dataflex_core.testing.errors import CheckFailed
from dataflex_core.testing.runner import Subject, fitting_some, run_scenario
from dataflex_core.testing.scenarios import everyday


@check()
def inputs_are_untouched(subject: Subject) -> None:
    """Requests, losses and parameters are as they were before the strategy was asked."""
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        (trace,) = run_scenario(subject, scenario)
        if trace.touched:
            raise CheckFailed(f"{scenario.name}: changes {', '.join(trace.touched)} in place; work on a copy")


@check()
def random_state_is_untouched(subject: Subject) -> None:
    """The random state of Python, numpy and torch, which training draws from, is as it was."""
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        run_scenario(subject, scenario)  # what it imports may draw; a run has imported it before
        with _fresh_state():
            before = dict(_states())
            run_scenario(subject, scenario)
            changed = [name for name, state in _states() if before[name] != state]
        if changed:
            raise CheckFailed(
                f"{scenario.name}: draws from, or seeds, {', '.join(changed)}; draw from request.rng only"
            )


@check()
def process_is_untouched(subject: Subject) -> None:
    """Gradients, torch's default dtype, numpy's handling of errors and the working folder are as they were."""
    for scenario in fitting_some(subject, everyday(subject.spec.kind)):
        (trace,) = run_scenario(subject, scenario)
        if trace.left:
            raise CheckFailed(f"{scenario.name}: leaves {' and '.join(trace.left)} changed; {KEEP_HINT}")


@contextmanager
def _fresh_state() -> Iterator[None]:
    """A random state that no strategy can have seeded by chance; afterwards the one that was there."""
    python, numpy, torch = random.getstate(), np.random.get_state(), sys.modules.get("torch")
    rng = None if torch is None else torch.get_rng_state()
    seed = 1 + random.getrandbits(31)
    random.seed(seed)
    np.random.seed(seed)
    if torch is not None:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        if torch is not None:
            torch.set_rng_state(rng)


def _states() -> Iterator[tuple[str, str]]:
    yield "random", repr(random.getstate())
    yield "numpy.random", repr([np.asarray(part).tolist() for part in np.random.get_state()])
    if (torch := sys.modules.get("torch")) is not None:
        yield "torch", repr(torch.get_rng_state().tolist())
