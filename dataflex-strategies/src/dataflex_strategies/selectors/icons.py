"""ICONS: selection by agreement among several target tasks (Wu et al., 2025, arXiv:2501.00654).

numpy is imported where it is used: describing the parameters stays light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from typing_extensions import Doc

from dataflex_core import ScoringSelector, Selection, SelectionRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class IconsParams:
    """How a sample's update is reckoned."""

    gradient: Annotated[
        Literal["adam", "sgd"],
        Doc("the direction of a training sample: the running Adam's update, or the plain gradient"),
    ] = "adam"


class IconsSelector(ScoringSelector[IconsParams]):
    """Chooses the samples that most of the target subtasks agree on.

    Every evaluation data set is a subtask, and ``I[i, k]`` is the influence of sample i on subtask k: the mean cosine
    of its update with the subtask's gradients, as in selector ``less``. A subtask votes for the samples whose influence
    on it is among the highest ``n / N``, where n of N candidates are chosen::

        threshold of k = quantile(I[:, k], 1 − n / N)          interpolated linearly
        votes of i     = how many subtasks k have I[i, k] >= threshold of k

    The samples with the most votes are chosen; among equally many votes those with the highest mean influence, then
    those with the lowest number. Samples without a target token have no vote and are never chosen. The mean number of
    votes of what was chosen is the note ``votes``: 1 where each subtask has samples of its own, the number of subtasks
    where all want the same.

    Departs from the paper, which takes influence from projected gradients of checkpoints of a run made before, and
    chooses once: here influence is exact, of the model in training, and chosen anew at each decision. DataFlex 1.x
    makes subtasks of one evaluation data set by ``task_boundaries``, and breaks ties between votes as they come.

    When to use: with examples of several tasks that should all gain, where ``less`` would follow the one subtask that
    a sample helps most. With one subtask it chooses by influence alone, as ``less`` does. It costs what ``less`` costs,
    however many subtasks there are.
    """

    def score(self, request: SelectionRequest, shard: NDArray[np.int64]) -> NDArray[np.float32]:
        """The influence of each sample on each subtask, Float32[n, K]."""
        return request.signals.influences(shard, adam=self.params.gradient == "adam")

    def choose(self, request: SelectionRequest, scores: NDArray[np.float32]) -> Selection:
        """The ``count`` samples with the most votes."""
        import numpy as np

        usable = np.flatnonzero(~np.isnan(scores).any(axis=1))
        if len(usable) == 0:
            return Selection(ids=request.candidates[usable])
        known = scores[usable]
        counted = votes(known, min(1.0, request.count / len(usable)))
        order = np.lexsort((-known.mean(axis=1, dtype=np.float64), -counted))[: request.count]
        return Selection(ids=request.candidates[usable[order]], notes={"votes": float(counted[order].mean())})


def votes(influences: NDArray[np.floating], share: float) -> NDArray[np.int64]:
    """How many subtasks vote for each sample, Int64[N], by their ``influences`` Float[N, K], finite, N >= 1.

    A subtask votes for the samples of its highest ``share``, from 0 to 1: those at the threshold too, so that all have
    its vote where all are alike.
    """
    import numpy as np

    table = np.asarray(influences, dtype=np.float64)
    counted: NDArray[np.int64] = (table >= np.quantile(table, 1.0 - share, axis=0)).sum(axis=1)
    return counted
