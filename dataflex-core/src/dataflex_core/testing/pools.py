"""Made-up pools: tokenised samples in domains, and a target set. The same in every process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from dataflex_core.domains import Domain
from dataflex_core.rng import derive
from dataflex_core.rows import Row
from dataflex_core.testing.fakes import IGNORE, WIDTH, Sample, embedding

Samples = tuple[Sample, ...]
_HELD = 2  # samples of each domain that are kept out of it
_TARGETS = {"held": 5, "held-more": 4}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Samples, in the order of their ids, their domains, the subtasks of the target set, and what is ``held`` out."""

    name: str
    domains: tuple[Domain, ...]
    samples: Samples
    targets: Mapping[str, Samples]
    held: Mapping[str, Samples] = field(default_factory=dict)

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self.samples)

    @property
    def columns(self) -> Mapping[str, NDArray[np.float64]]:
        """A column of numbers between 0 and 1 by whatever name it is asked for."""
        return _Columns(samples=self.samples)

    def features(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """What scores of samples Int64[n] can be predicted from, Float32[n, d]: the starting model's embeddings."""
        view = {"model": "base"}
        found = [embedding(self.samples[sample], 0, view) for sample in ids.tolist()]
        return np.array(found, dtype=np.float32).reshape(-1, WIDTH)

    def usable(self, sample: int) -> bool:
        """Whether a sample has a target token."""
        return bool(self.samples[sample].answer)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Columns(Mapping[str, "NDArray[np.float64]"]):
    samples: Samples

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        values = np.array([derive("column", name, sample.key).random() for sample in self.samples], dtype=np.float64)
        values.flags.writeable = False
        return values

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def make_pool(
    name: str,
    sizes: Mapping[str, int],
    *,
    subtasks: int = 2,
    unlabelled: int = 0,
    unlabelled_targets: int = 0,
    alike: bool = False,
) -> Pool:
    """A pool of ``sizes`` samples by domain.

    Every ``unlabelled``-th sample, and ``unlabelled_targets``-th of a subtask, has no target token; or samples of the
    pool are all ``alike``.
    """
    domains: list[Domain] = []
    samples: list[Sample] = []
    for domain, size in sizes.items():
        domains.append(Domain(name=domain, start=len(samples), size=size))
        for place in range(size):
            which = 0 if alike else len(samples)
            labelled = _is_labelled(len(samples), unlabelled)
            made = _sample(0 if alike else len(domains), f"sample {which}", labelled=labelled)
            samples.append(_located(made, domain, place))
    targets = {
        subtask: tuple(
            _located(_sample(1 + k, f"{subtask} {i}", labelled=_is_labelled(i, unlabelled_targets)), subtask, i)
            for i in range(size)
        )
        for k, (subtask, size) in enumerate(list(_TARGETS.items())[:subtasks])
    }
    held = {
        domain: tuple(
            _located(_sample(1 + k, f"{domain}, held out, {i}", labelled=_is_labelled(i, unlabelled)), domain, i)
            for i in range(_HELD)
        )
        for k, domain in enumerate(sizes)
    }
    return Pool(name=name, domains=tuple(domains), samples=tuple(samples), targets=targets, held=held)


def _located(sample: Sample, dataset: str, place: int) -> Sample:
    return replace(sample, row=Row(dataset=dataset, file=f"{dataset}.jsonl", row=place + 1))


def _is_labelled(position: int, unlabelled: int) -> bool:
    return not unlabelled or position % unlabelled > 0


def _sample(domain: int, name: str, *, labelled: bool = True) -> Sample:
    """A sample of 4 to 39 tokens, a third of them its prompt; samples of one domain begin alike."""
    rng = derive("row", name)
    tokens = [10 + domain, *rng.integers(20, 100, size=rng.integers(3, 39)).tolist()]
    prompt = max(1, len(tokens) // 3) if labelled else len(tokens)
    return Sample.of({"input_ids": tokens, "labels": [IGNORE] * prompt + tokens[prompt:]})


EVERYDAY = make_pool("three domains", {"words": 24, "code": 13, "numbers": 7})
ONE_DOMAIN = make_pool("one domain", {"words": 20}, subtasks=1)
MANY_DOMAINS = make_pool("forty domains", {f"domain-{k}": 1 + k % 4 for k in range(40)})
EMPTY_DOMAIN = make_pool("an empty domain", {"words": 14, "code": 0, "numbers": 9})
ONE_SAMPLE = make_pool("one sample", {"words": 1})
ALIKE = make_pool("samples that are alike", {"words": 12, "code": 9, "numbers": 4}, alike=True)
SOME_WITHOUT_LOSS = make_pool(
    "samples without a loss", {"words": 15, "code": 9, "numbers": 6}, unlabelled=3, unlabelled_targets=3
)
ALL_WITHOUT_LOSS = make_pool("no sample with a loss", {"words": 6, "code": 4, "numbers": 2}, unlabelled=1)
