"""Pools in which something is planted: a domain of the target's kind, answers of random words, noise."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from dataflex_cli.demo.files import TARGET
from dataflex_cli.demo.sample import Sample
from dataflex_cli.demo.texts import TARGET_DOMAIN
from experiments.corpora import demo_texts, draw, write_sets

HELD_OUT_OF_EACH = 50
_NOISY_SAMPLES, _NOISY_TOKENS = 0.2, 0.3
_SIZES = {"functions": 200, "classes": 100}
_PARTS, _SMALLEST_PART = 10, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """A pool by domain, a target set, held-out samples by name, and which samples of a domain, by row, are marked.

    ``clean`` is what a reference model is trained on.
    """

    domains: Mapping[str, Sequence[Sample]]
    target: Sequence[Sample]
    held_out: Mapping[str, Sequence[Sample]]
    marked: Mapping[str, frozenset[int]]
    clean: Mapping[str, Sequence[Sample]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantedCorpus:
    """``marked`` says in a few words what the marked samples are."""

    name: str
    what: str
    marked: str
    texts: Callable[[], Planted]


def write_planted(corpus: PlantedCorpus, folder: Path, *, seed: int) -> dict[str, Any]:
    """Model and data into ``folder``, new; LLaMA-Factory's arguments, without an output folder and strategies."""
    texts = corpus.texts()
    clean = {f"clean_{name}": samples for name, samples in texts.clean.items()}
    sets = {**texts.domains, TARGET: texts.target, **texts.held_out, **clean}
    return {**write_sets(sets, folder, seed=seed), "dataset": ",".join(texts.domains)}


def parted(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """A domain's samples that are held out, and the others in their order."""
    apart = draw(samples, HELD_OUT_OF_EACH)
    return apart, [sample for sample in samples if sample not in apart]


@cache
def one_domain_helps() -> Planted:
    """The demo's four domains, of which the target's is marked."""
    texts = demo_texts()
    every = frozenset(range(len(texts.domains[TARGET_DOMAIN])))
    return Planted(
        domains=texts.domains,
        target=texts.target,
        held_out={"held_out": texts.held_out},
        marked={TARGET_DOMAIN: every},
        clean=texts.domains,
    )


@cache
def some_answers_are_noise() -> Planted:
    """A fifth of each domain's samples have answers of other words, drawn from all answers, and are marked."""
    rng = random.Random(0)
    every = demo_texts().domains
    words = [word for samples in every.values() for sample in samples for word in sample.output.split()]
    domains, held_out, marked, clean = {}, [], {}, {}
    for name, samples in every.items():
        apart, rest = parted(samples)
        clean[name] = list(rest)
        odd = sorted(rng.sample(range(len(rest)), round(_NOISY_SAMPLES * len(rest))))
        for row in odd:
            rest[row] = replace(rest[row], output=" ".join(rng.choices(words, k=len(rest[row].output.split()))))
        domains[name], marked[name] = rest, frozenset(odd)
        held_out += apart
    return Planted(
        domains=domains, target=demo_texts().target, held_out={"held_out": held_out}, marked=marked, clean=clean
    )


@cache
def noise_apart() -> Planted:
    """As `some_answers_are_noise`, with the samples that have answers of random words in a domain of their own."""
    mixed = some_answers_are_noise()
    domains = {
        name: [sample for row, sample in enumerate(samples) if row not in mixed.marked[name]]
        for name, samples in mixed.domains.items()
    }
    noise = [samples[row] for name, samples in mixed.domains.items() for row in sorted(mixed.marked[name])]
    return replace(mixed, domains={**domains, "noise": noise}, marked={"noise": frozenset(range(len(noise)))})


@cache
def some_tokens_are_noise() -> Planted:
    """Of every answer of the pool 30 % of the words are others, drawn from all answers; held out are clean ones."""
    rng = random.Random(1)
    clean = demo_texts().domains
    words = [word for samples in clean.values() for sample in samples for word in sample.output.split()]

    def spoilt(sample: Sample) -> Sample:
        said = (rng.choice(words) if rng.random() < _NOISY_TOKENS else word for word in sample.output.split())
        return replace(sample, output=" ".join(said))

    domains, held_out, right = {}, [], {}
    for name, samples in clean.items():
        apart, others = parted(samples)
        # Words are parted by one space, as those of the spoilt answers are.
        held_out += [replace(sample, output=" ".join(sample.output.split())) for sample in apart]
        rest = [replace(s, output=" ".join(s.output.split())) for s in others]
        domains[name], right[name] = [spoilt(sample) for sample in rest], rest
    return Planted(domains=domains, target=demo_texts().target, held_out={"held_out": held_out}, marked={}, clean=right)


@cache
def domains_are_unlike() -> Planted:
    """Domains of unequal size and difficulty, one of them random words, which nothing can be learnt from; marked."""
    rng = random.Random(2)
    clean = demo_texts().domains
    words = sorted({word for samples in clean.values() for s in samples for word in s.output.split() if len(word) < 12})
    domains, held_out = {}, {}
    for name, samples in clean.items():
        apart, rest = parted(samples)
        domains[name] = rest[: _SIZES.get(name, 400)]
        held_out[f"held_out_{name}"] = apart
    domains["noise"] = [
        Sample(instruction=" ".join(rng.choices(words, k=6)), output=" ".join(rng.choices(words, k=20)), topic="noise")
        for _ in range(400)
    ]
    every = frozenset(range(len(domains["noise"])))
    return Planted(
        domains=domains, target=demo_texts().target, held_out=held_out, marked={"noise": every}, clean=domains
    )


@cache
def many_domains() -> Planted:
    """Forty domains, ten of each of the demo's, of 6 to 60 samples: more than a batch has samples."""
    domains, held_out = {}, {}
    for name, samples in demo_texts().domains.items():
        apart, rest = parted(samples)
        held_out[f"held_out_{name}"] = apart
        for number in range(_PARTS):
            size = _SMALLEST_PART * (number + 1)
            domains[f"{name}_{number}"], rest = rest[:size], rest[size:]
    return Planted(domains=domains, target=demo_texts().target, held_out=held_out, marked={}, clean=domains)


HELPS = PlantedCorpus(
    name="helps",
    what="the demo's four domains, the target set being of one of them",
    marked="of the target's domain",
    texts=one_domain_helps,
)
ANSWERS = PlantedCorpus(
    name="answers",
    what="the demo's four domains, the answers of a fifth of the samples being random words",
    marked="with random words for an answer",
    texts=some_answers_are_noise,
)
APART = PlantedCorpus(
    name="apart",
    what="the same, with the samples of random words in a domain of their own",
    marked="random words",
    texts=noise_apart,
)
TOKENS = PlantedCorpus(
    name="tokens",
    what="the demo's four domains, 30 % of the words of each answer being others",
    marked="",
    texts=some_tokens_are_noise,
)
DOMAINS = PlantedCorpus(
    name="domains",
    what="the demo's four domains, of unequal size, and one of random words",
    marked="random words",
    texts=domains_are_unlike,
)
MANY = PlantedCorpus(
    name="many",
    what="forty domains of unequal size, of four kinds",
    marked="",
    texts=many_domains,
)
