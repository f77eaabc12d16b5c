"""The demo beside a run of another selector that does as much work: ``python -m dataflex_cli.demo.against random``.

What a decision cost is turned into training steps, and the other run trains that many more. Further words are
overrides of the first run, ``KEY=VALUE`` or flags of ``dataflex run``. Two runs show how it is done; how sure one can
be takes several seeds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataflex_cli.console import say
from dataflex_cli.demo.files import HELD_OUT, TARGET
from dataflex_cli.demo.texts import TARGET_DOMAIN
from dataflex_core.errors import RunFailed
from dataflex_core.llamafactory.args import OUTPUT

DEMO = Path("dataflex-demo")
METRIC = f"eval_{HELD_OUT}_loss"
_MOST = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``enrichment`` is how often the target's domain was chosen next to chance, ``work`` what both runs did.

    In training steps; ``ours`` and ``theirs`` are the losses on what was held out, None where they were not evaluated.
    """

    enrichment: float
    work: float | None
    ours: float | None
    theirs: float | None
    page: Path


def main(words: Sequence[str]) -> int:
    """Run both and tell what came out; the exit code of the first command that fails, else 0."""
    other, *rest = words or ["random"]
    config, own, theirs = DEMO / "config.yaml", DEMO / "output", DEMO / f"output-{other}"
    if not config.is_file() and (code := _dataflex("init", str(DEMO))):
        return code
    if code := _dataflex("run", str(config), *rest):
        return code
    updates = decisions_for(own)
    flags = ("--selector", other, f"dataflex.updates={updates}", "dataflex.exact=all", f"{OUTPUT}={theirs}")
    if code := _dataflex("run", str(config), *flags):
        return code
    if code := _dataflex("report", str(own), "--against", str(theirs)):
        return code
    tell(outcome_of(own, theirs), other)
    return 0


def decisions_for(run: Path) -> int:
    """How many intervals a run that decides at no cost trains for as much work as ``run`` did, decisions and all."""
    from dataflex_cli.report.cost import cost_of
    from dataflex_cli.report.reading import read_run

    seen = read_run(run, texts=False)
    start, cost = seen.start, cost_of(seen)
    measured = cost.declared if cost.measured is None else cost.measured
    # A machine that is busy with something else while decisions are taken measures much too much.
    work = seen.step + min(measured, _MOST * cost.declared)
    return max(1, -(-round(work - start.warmup_steps) // start.update_steps))


def outcome_of(run: Path, other: Path) -> Outcome:
    """What two runs came to, at the most work that both have done."""
    from dataflex_cli.report.reading import read_run
    from dataflex_cli.report.versus import held_against
    from dataflex_core.journal.figures import enrichment

    own, theirs = read_run(run, texts=False), read_run(other, texts=False)
    (against,) = held_against(own, [(other.name, theirs)])
    chosen: dict[str, int] = {}
    for event in own.decisions:
        if event.decision > 0:
            chosen = {name: chosen.get(name, 0) + count for name, count in event.chosen.items()}
    told = against.metric == METRIC
    return Outcome(
        enrichment=enrichment(chosen, own.start.domains).get(TARGET_DOMAIN, 0.0),
        work=against.at if told else None,
        ours=against.ours if told else None,
        theirs=against.theirs if told else None,
        page=own.page,
    )


def tell(outcome: Outcome, other: str) -> None:
    """In a few lines."""
    say(f"{TARGET_DOMAIN}, the domain of {TARGET}, was chosen {outcome.enrichment:.1f} times as often as by chance")
    if outcome.work is None or outcome.ours is None or outcome.theirs is None:
        say(f"the loss on {HELD_OUT} is not known of both at equal work", level="warning")
    else:
        ahead = outcome.ours < outcome.theirs
        paid = f"deciding {'paid' if ahead else 'did not pay'}, as far as one seed can tell"
        say(
            f"loss on {HELD_OUT} after {outcome.work:.0f} training steps' worth of work, decisions and all: "
            f"{outcome.ours:.3f}, and {outcome.theirs:.3f} with {other}: {paid}"
        )
    say(f"the report has both: {outcome.page}", level="result")


def _dataflex(*words: str) -> int:
    """A command in a process of its own, as a shell would start it."""
    try:
        return subprocess.run([sys.executable, "-P", "-m", "dataflex_cli", *words], check=False).returncode
    except OSError as error:
        raise RunFailed(f"dataflex could not be started: {error.strerror}", hint="install dataflex-cli") from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
