"""cluster-LESS: influence of a few samples of each cluster, in place of that of every sample (after arXiv:2402.04333).

numpy and scikit-learn are imported where they are used: describing the parameters stays light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, MinLen
from typing_extensions import Doc

from dataflex_core import Cost, CostRequest, Selection, SelectionRequest, Selector
from dataflex_strategies.threads import one_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dataflex_core import Signals

    Ids = NDArray[np.int64]
    Rows = NDArray[np.floating[Any]]

_DIM = 8192
_ROUNDS = 20  # of k-means, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterLessParams:
    """What clusters are made of, and how many gradients each takes."""

    samples_per_cluster: Annotated[int, Ge(1), Doc("the samples of a cluster whose gradients are taken")] = 4
    cluster_size: Annotated[int, Ge(1), Doc("candidates to a cluster, on average")] = 64
    gradient: Annotated[
        Literal["adam", "sgd"],
        Doc("the direction of a training sample: the running Adam's update, or the plain gradient"),
    ] = "adam"
    layer: Annotated[int, Doc("the layer whose hidden states are clustered: 0 is the embedding, -1 the last")] = -1
    pooling: Annotated[
        Literal["mean", "last", "weighted"],
        Doc("over a sample's tokens: their mean, the last one, or weighted by place"),
    ] = "mean"
    embedding_model: Annotated[
        Annotated[str, MinLen(1)] | None,
        Doc("a frozen model that embeds: a path, or base, what the run started from; null: the model in training"),
    ] = None


class ClusterLessSelector(Selector[ClusterLessParams]):
    """Chooses whole clusters of samples, by the influence of a few samples of each on the target set.

    The candidates' hidden states, pooled over their tokens, are put into ``k = ⌈N / cluster_size⌉`` clusters by k-means
    (scikit-learn's, k-means++ from the run's seed, 20 rounds at most). Of each cluster C the ``samples_per_cluster``
    nearest to its centre are its part R, and with ``Γ`` the direction that the run's own Adam would take for a sample's
    gradient, ``gₜ`` the gradients of a target subtask's samples::

        mean of C  = mean over i in R of Γᵢ / |Γᵢ|
        q of k     = mean over t in subtask k of gₜ / |gₜ|
        score of C = mean over subtasks k of  cos(mean of C, q of k)

    Clusters are taken whole, the highest score first, until there are enough samples; in a cluster those nearest to its
    centre come first, then those of the lowest number. Samples without a target token are left out before. The notes
    are ``clusters``, how many there were, and ``taken``, how many of them are in the choice.

    Gradients are projected to 8192 numbers. Products with subtasks keep their exact value all the same; the length of a
    cluster's mean is estimated, of directions of length one, to some hundredths.

    Departs from DataFlex 1.x, where the method comes from: clusters are made anew at each decision, of the candidates
    that it has, not once in a run; the samples nearest to a centre stand for it, not random ones; a cluster's mean is
    made of length one, so that one whose samples disagree is not marked down for it.

    When to use: where ``less`` costs too much. At the defaults a sixteenth of the candidates have a gradient taken,
    beside a forward pass of each, so that a candidate costs two fifths of what it does with ``less``; with a frozen
    ``embedding_model`` its embeddings are stored, and the forward passes are made once. It can only be as good as the
    clusters: where samples that help lie among others that do not, look for them one by one. K-means takes one thread
    and N² / cluster_size distances a round: with more than some 100,000 candidates raise ``cluster_size`` or bound
    ``candidates``.
    """

    def __init__(self, params: ClusterLessParams) -> None:
        super().__init__(params)
        self._directions: tuple[int, Rows] | None = None

    def select(self, request: SelectionRequest) -> Selection:
        """Embeds all candidates, and takes gradients of a few, and of the target set."""
        import numpy as np

        signals, params = request.signals, self.params
        usable = request.candidates[signals.target_tokens(request.candidates) > 0]
        if len(usable) == 0:
            return Selection(ids=usable)
        shard = signals.shard(usable)
        found = signals.embeddings(shard, layer=params.layer, pooling=params.pooling, model=params.embedding_model)
        labels, distances = clustered(
            signals.gather(usable, shard, found), -(-len(usable) // params.cluster_size), request.rng
        )
        order = np.lexsort((distances, labels))  # stable: by number where distances are the same
        near = np.sort(order[_places(labels[order]) < params.samples_per_cluster])
        rows = self._gradients(signals, usable[near], adam=params.gradient == "adam")
        scores = cluster_scores(rows, labels[near], self._targets(request))
        # NaN comes last. Clusters are numbered by their first samples: of equal scores the lower number comes first.
        ranked = np.lexsort((distances, labels, -scores[labels]))[: request.count]
        notes = {"clusters": float(len(scores)), "taken": float(len(np.unique(labels[ranked])))}
        return Selection(ids=usable[ranked], scores=scores[labels[ranked]].astype(np.float32), notes=notes)

    def _gradients(self, signals: Signals, ids: Ids, *, adam: bool) -> Rows:
        """Projected gradients of length one, of ``ids``, Float32[n, 8192], on every rank."""
        shard = signals.shard(ids)
        return signals.gather(ids, shard, signals.gradients(shard, dim=_DIM, adam=adam))

    def _targets(self, request: SelectionRequest) -> Rows:
        """Each subtask's mean direction, Float64[K, 8192]; taken once a decision, whose domains ask for it in turn."""
        import numpy as np

        if self._directions is None or self._directions[0] != request.progress.step:
            means = []
            for name in request.signals.targets:
                held = request.signals.target(name)
                rows = self._gradients(held, np.arange(len(held), dtype=np.int64), adam=False)
                means.append(np.nanmean(rows, axis=0, dtype=np.float64))
            self._directions = request.progress.step, np.array(means)
        return self._directions[1]


def clustered(points: Rows, count: int, rng: np.random.Generator) -> tuple[Ids, NDArray[np.float64]]:
    """The cluster of each of ``points`` Float[N, H], Int64[N], and its distance to that cluster's centre, Float64[N].

    ``count`` clusters at most, fewer where points coincide; each has a point, and they are numbered in the order of
    their first ones. One thread: more would change digits.
    """
    import warnings

    import numpy as np

    if count == 1:
        return np.zeros(len(points), dtype=np.int64), _distances(points, points.mean(axis=0))
    from sklearn.cluster import KMeans  # type: ignore[import-untyped]  # scikit-learn has no types
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]  # likewise

    seed = int(rng.integers(2**31 - 1))
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # points that coincide make fewer clusters
        found = KMeans(n_clusters=count, n_init=1, max_iter=_ROUNDS, random_state=seed).fit(points)
    used, first, labels = np.unique(found.labels_, return_index=True, return_inverse=True)
    numbers = np.argsort(np.argsort(first))
    return numbers[labels].astype(np.int64), _distances(points, found.cluster_centers_[used[labels]])


def cluster_scores(rows: Rows, cluster_ids: Ids, targets: Rows) -> NDArray[np.float64]:
    """What clusters are worth, Float64[C], by cluster number from 0: cosines with subtasks, averaged over these.

    ``rows`` Float[m, d] are gradients of samples of the clusters ``cluster_ids`` Int64[m], of any length: each is made
    of length one, and a cluster is their mean. ``targets`` Float[K, d] are the subtasks' directions. NaN for a
    cluster without a row; rows of NaN and of zeros count for nothing.
    """
    import numpy as np

    table, toward = np.asarray(rows, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    lengths = np.linalg.norm(table, axis=1)
    order = np.argsort(cluster_ids, kind="stable")
    order = order[np.isfinite(lengths[order]) & (lengths[order] > 0)]
    known, starts = np.unique(cluster_ids[order], return_index=True)
    scores = np.full(int(cluster_ids.max(initial=-1)) + 1, np.nan)
    if len(known):
        # A sum has the direction of the mean, and a cosine asks for no more.
        sums = np.add.reduceat(table[order] / lengths[order, None], starts)
        scale = np.linalg.norm(sums, axis=1)[:, None] * np.linalg.norm(toward, axis=1)
        cosines = np.divide(sums @ toward.T, scale, out=np.zeros_like(scale), where=scale > 0)
        scores[known] = cosines.mean(axis=1)
    return scores


def cost(params: ClusterLessParams, request: CostRequest) -> Cost:
    """A forward pass of a candidate, and the gradients of its cluster's part.

    Of a target sample a gradient for what the projection keeps, and another that is projected.
    """
    return Cost(candidate=1 / 3 + min(1.0, params.samples_per_cluster / params.cluster_size), target=2.0)


def _distances(points: Rows, centres: Rows) -> NDArray[np.float64]:
    import numpy as np

    found: NDArray[np.float64] = np.linalg.norm(points - centres, axis=1).astype(np.float64)
    return found


def _places(sorted_labels: Ids) -> Ids:
    """The place of each in its run of equal labels, Int64[n]."""
    import numpy as np

    starts = np.flatnonzero(np.diff(sorted_labels, prepend=-1))
    return np.arange(len(sorted_labels)) - np.repeat(starts, np.diff(starts, append=len(sorted_labels)))
