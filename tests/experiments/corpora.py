"""What is trained on: text that every installation has, a target set, and held-out samples that no decision sees."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from dataflex_cli.demo.files import TARGET, write_json
from dataflex_cli.demo.library import library_samples
from dataflex_cli.demo.model import write_model
from dataflex_cli.demo.sample import SHORTEST, Sample
from dataflex_cli.demo.texts import TARGET_DOMAIN, collect_texts
from experiments.packages import EXAMPLES, package_samples

PER_DOMAIN = 450
TARGET_SIZE = 60
HELD_OUT_SIZE = 120
HELD_OUT = "held_out"
_LARGEST_TOPIC = 20  # samples of a topic that is taken out of the pool
ARGS = {
    "stage": "sft",
    "do_train": True,
    "template": "default",
    "finetuning_type": "full",
    "eval_dataset": TARGET,
    "cutoff_len": 160,
    "overwrite_cache": True,
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 1,
    "learning_rate": 3e-3,
    "lr_scheduler_type": "constant",  # a run that stops early is then a shorter run
    "disable_gradient_checkpointing": True,
    "dataloader_pin_memory": False,
    "overwrite_output_dir": True,
    "save_strategy": "no",
    "logging_steps": 1000,
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
}
"""The demo's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """A pool by domain, a target set, and held-out samples of the target's kind; no topic or answer is in two."""

    domains: Mapping[str, Sequence[Sample]]
    target: Sequence[Sample]
    held_out: Sequence[Sample]


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """``texts`` on request, of which ``domain`` is the target's; and what differs from the demo's training.

    A run may cost ``budget``, in training steps.
    """

    name: str
    what: str
    domain: str
    texts: Callable[[], Texts]
    model: str = "demo"
    budget: int = 210
    args: Mapping[str, Any] = field(default_factory=dict)

    def within(self, *shares: float) -> tuple[float, ...]:
        """Those shares of ``budget``."""
        return tuple(self.budget * share for share in shares)


def write_corpus(corpus: Corpus, folder: Path, *, seed: int) -> dict[str, Any]:
    """Model and data into ``folder``, new; LLaMA-Factory's arguments, without an output folder and a selector.

    ``seed`` decides the model's random weights, where they are random, and the training's order.
    """
    texts = corpus.texts()
    sets = {**texts.domains, TARGET: texts.target, HELD_OUT: texts.held_out}
    args = write_sets(sets, folder, seed=seed)
    if corpus.model != "demo":
        from benchmarks.models import WRITERS

        WRITERS[corpus.model](folder / "model")
    return {**args, "dataset": ",".join(texts.domains), **corpus.args}


def write_sets(sets: Mapping[str, Sequence[Sample]], folder: Path, *, seed: int) -> dict[str, Any]:
    """Data sets by name, and the demo's model for their words, into ``folder``, new; arguments without a data set."""
    (folder / "data").mkdir(parents=True)
    for name, samples in sets.items():
        rows = [{"instruction": sample.instruction, "input": "", "output": sample.output} for sample in samples]
        write_json(folder / "data" / f"{name}.json", rows)
    write_json(folder / "data" / "dataset_info.json", {name: {"file_name": f"{name}.json"} for name in sets})
    everything = (sample for samples in sets.values() for sample in samples)
    write_model(folder / "model", (f"{s.instruction}\n{s.output}" for s in everything), seed=seed)
    paths = {"model_name_or_path": str(folder / "model"), "dataset_dir": str(folder / "data")}
    return {**ARGS, **paths, "seed": seed}


def digest(folder: Path) -> str:
    """Of the data in a folder that `write_corpus` wrote."""
    files = sorted((folder / "data").glob("*.json"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


@cache
def demo_texts(*, target_samples: int = PER_DOMAIN) -> Texts:
    """The demo's, with so many samples of the target's domain in the pool."""
    demo = collect_texts()
    known = {sample.output for sample in demo.target}
    topics = {sample.topic for sample in demo.target}
    more = [s for s in distinct(library_samples()[TARGET_DOMAIN]) if s.topic not in topics and s.output not in known]
    held_out, rest = set_apart(more, HELD_OUT_SIZE)
    return Texts(
        domains={**demo.domains, TARGET_DOMAIN: draw(rest, target_samples)}, target=demo.target, held_out=held_out
    )


@cache
def package_texts() -> Texts:
    """Of installed packages: licences, readmes, parameters and examples, the target's domain."""
    found = {domain: distinct(samples) for domain, samples in package_samples().items()}
    held_out, rest = set_apart(found[EXAMPLES], HELD_OUT_SIZE)
    target, rest = set_apart(rest, TARGET_SIZE)
    domains = {**found, EXAMPLES: rest}
    return Texts(
        domains={domain: draw(samples, PER_DOMAIN) for domain, samples in domains.items()},
        target=target,
        held_out=held_out,
    )


def distinct(samples: Iterable[Sample]) -> list[Sample]:
    """Sorted, each answer once, without those too short to teach anything."""
    found: dict[str, Sample] = {}
    for sample in sorted(samples):
        if len(sample.output) >= SHORTEST:
            found.setdefault(sample.output, sample)
    return list(found.values())


def set_apart(samples: Sequence[Sample], count: int) -> tuple[list[Sample], list[Sample]]:
    """``count`` samples of small topics, and all samples of other topics."""
    sizes: dict[str, int] = {}
    for sample in samples:
        sizes[sample.topic] = sizes.get(sample.topic, 0) + 1
    apart: set[str] = set()
    for topic in sorted((t for t, size in sizes.items() if size <= _LARGEST_TOPIC), key=fingerprint):
        if sum(sizes[t] for t in apart) >= count:
            break
        apart.add(topic)
    return draw((s for s in samples if s.topic in apart), count), [s for s in samples if s.topic not in apart]


def draw(samples: Iterable[Sample], count: int) -> list[Sample]:
    """``count`` samples drawn as if at random, but by their text alone; sorted."""
    return sorted(sorted(samples, key=lambda sample: fingerprint(sample.output))[:count])


def fingerprint(text: str) -> str:
    """The same on every machine."""
    return hashlib.sha256(text.encode()).hexdigest()


_DEMO = "the documentation inside Python; the target are signatures"
_LORA = {
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_target": "all",
    "template": "smollm2",
    "learning_rate": 5e-4,
    "bf16": True,
}
CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(name="demo-25", what=f"{_DEMO}, 25 % of the pool", domain=TARGET_DOMAIN, texts=demo_texts),
        Corpus(
            name="demo-6",
            what=f"{_DEMO}, 6 % of the pool",
            domain=TARGET_DOMAIN,
            texts=lambda: demo_texts(target_samples=86),
        ),
        Corpus(
            name="packages",
            what="licences, readmes, parameters and examples of installed packages; the target are examples, 25 %",
            domain=EXAMPLES,
            texts=package_texts,
        ),
        Corpus(
            name="demo-25-smollm2",
            what=f"{_DEMO}, 25 % of the pool; SmolLM2-135M with LoRA of rank 8",
            domain=TARGET_DOMAIN,
            texts=demo_texts,
            model="smollm2",
            budget=105,
            args=_LORA,
        ),
    )
}
