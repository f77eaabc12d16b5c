"""What a run left beside its journal, as far as it is of the data that the run has now.

A `Run` that went on with other data is read so as `Run.on_its_data` is: an id of before is that of another sample.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace

from dataflex_core.journal.pool_facts import PoolFacts, read_pool_facts
from dataflex_core.journal.run import Run
from dataflex_core.journal.scores import DecisionScores, read_scores
from dataflex_core.journal.texts import FOLDER, Shown, Texts, read_texts


def scores_of(run: Run) -> Iterator[DecisionScores]:
    """What each decision of a run judged, in order, read as it is asked for. Raises as `read_scores` does.

    Each says whether it is all of that.
    """
    run, changed = run.on_its_data, run.changed_data_at is not None
    by_number = {made.decision: made for made in run.decisions}
    by_step = {(made.decision, made.step): made for made in run.decisions}
    size = sum(run.start.domains.values())
    for one in read_scores(run.path.parent, run.start.run):
        made = by_number.get(one.decision) if one.step is None else by_step.get((one.decision, one.step))
        # A decision before the change may have had the number of one since then that has no scores.
        if made is not None and not (changed and (made.scores is None or one.ids.max(initial=0) >= size)):
            yield replace(one, step=made.step, of_all=round(float(one.stands_for.sum())) >= made.judged)


def texts_of(run: Run) -> Texts:
    """Texts of samples of a run, shown for what it decided: not for what a resume has undone.

    Raises `OSError` where they cannot be read.
    """
    kept = read_texts(run.path.parent / FOLDER / f"{run.start.run}.jsonl")
    if kept.since != run.changed_data_at:
        return Texts()
    stands = _stands(run)
    return replace(kept, shown=[one for one in kept.shown if stands(one)])


def _stands(run: Run) -> Callable[[Shown], bool]:
    """Whether a sample is shown for an interval that the run has: a planned one, or one that it went through."""
    decisions, done = run.decisions, run.step
    starts = [made.step for made in decisions]

    def stands(one: Shown) -> bool:
        if one.step is None:  # files of before do not say
            return True
        at = bisect_right(starts, one.step) - 1
        if at >= 0 and one.step < decisions[at].until:
            return (one.decision, one.step) == (decisions[at].decision, decisions[at].step)
        return one.step < done

    return stands


def pool_facts_of(run: Run) -> PoolFacts | None:
    """What is known of the pool of a run; None where nothing is, or what is there is of a pool of another size."""
    facts = read_pool_facts(run.path.parent, run.start.run)
    size = sum(run.on_its_data.start.domains.values())
    return None if facts is None or len(facts.lengths) != size else facts
