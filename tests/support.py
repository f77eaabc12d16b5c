"""What integration tests share: a tiny Llama, a tokenizer, a LLaMA-Factory data folder, and plain runs of both."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "saw",
    "one",
    "small",
    "red",
    "bird",
    "fly",
    "over",
    "blue",
    "sea",
]


def build_model(folder: Path, *, seed: int = 0, hidden: int = 32, tie: bool = False) -> Path:
    """A randomly initialised two-layer Llama with a word-level tokenizer, as AutoModel loads it."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>", "<unk>"]
    text = [*WORDS, "Human", "Assistant", ":", "say", "count", "zero", "one", "two", "three", "four", "?", "."]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*special, *text, *map(str, range(60))]))}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=tie,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def build_experts(folder: Path, model: Path) -> Path:
    """A two-layer Mixtral with four experts a layer, two to a token, and the tokenizer of a model that was built."""
    import torch
    from transformers import AutoTokenizer, MixtralConfig, MixtralForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=4,
        num_experts_per_tok=2,
        max_position_embeddings=256,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    MixtralForCausalLM(config).save_pretrained(folder)
    return folder


def build_data(folder: Path, *, sizes: dict[str, int] | None = None, seed: int = 0) -> Path:
    """A data folder with data sets ``words`` and ``numbers``, and target sets ``held`` and ``numbers_held``."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {"words": 60, "numbers": 40, "held": 6, "numbers_held": 5} if sizes is None else sizes
    for name, size in wanted.items():
        rows = [_numbers(rng) if name.startswith("numbers") else _words(rng) for _ in range(size)]
        (folder / f"{name}.json").write_text(json.dumps(rows), encoding="utf-8")
    index = {name: {"file_name": f"{name}.json"} for name in wanted}
    (folder / "dataset_info.json").write_text(json.dumps(index), encoding="utf-8")
    return folder


def _words(rng: random.Random) -> dict[str, str]:
    picked = rng.choices(WORDS, k=rng.randint(3, 14))
    return {"instruction": "say " + " ".join(picked), "input": "", "output": " ".join(reversed(picked))}


def _numbers(rng: random.Random) -> dict[str, str]:
    start = rng.randint(0, 40)
    count = rng.randint(3, 16)
    return {"instruction": f"count {start}", "input": "", "output": " ".join(str(start + i) for i in range(count))}


def leave_dist_info(folder: Path, project: dict[str, Any]) -> None:
    """What an installer leaves in ``folder`` of a pyproject's ``project``: by it entry points are found."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    points = "".join(f"{name} = {module}\n" for name, module in project["entry-points"]["dataflex"].items())
    (info / "entry_points.txt").write_text(f"[dataflex]\n{points}", encoding="utf-8")


def base_args(model: Path, data: Path, output: Path, **changes: Any) -> dict[str, Any]:
    """LLaMA-Factory arguments of a short LoRA run on CPU."""
    args = {
        "model_name_or_path": str(model),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": 4,
        "lora_target": "all",
        "dataset": "words,numbers",
        "dataset_dir": str(data),
        "template": "default",
        "cutoff_len": 64,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "cosine",
        "max_steps": 8,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": "none",
        "output_dir": str(output),
        "overwrite_output_dir": True,
        "use_cpu": True,
        "seed": 7,
        "disable_tqdm": True,
    }
    return {key: value for key, value in {**args, **changes}.items() if value is not None}


def train(
    args: dict[str, Any],
    *,
    settings: tuple[str, ...] = (),
    events: list[dict[str, Any]] | None = None,
    catalog: Any = None,
    **strategies: str | tuple[str, ...],
) -> Path:
    """Train in this process with the named strategies, two warm-up steps and intervals of three; the output folder."""
    import tempfile

    from dataflex_core.catalog import discover
    from dataflex_core.config.load import load_config
    from dataflex_core.config.overrides import Overrides
    from dataflex_core.journal import Event, to_record
    from dataflex_core.llamafactory import run
    from dataflex_core.prepare import prepare
    from dataflex_core.spec import Kind

    section = {"warmup_steps": 2, "update_steps": 3, **args.get("dataflex", {})}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps({**args, "dataflex": section}), encoding="utf-8")
        names = {Kind(kind): name for kind, name in strategies.items()}
        config = load_config(path, Overrides(strategies=names, parameter_words=settings))
    kept = [] if events is None else events

    def report(event: Event, *, past: bool) -> None:
        kept.append({**to_record(event), **({"past": True} if past else {})})

    run.train(prepare(config, catalog or discover()), report)
    return Path(args["output_dir"])


def train_plain(args: dict[str, Any]) -> Path:
    """What `llamafactory-cli train` does with these arguments, in this process."""
    from llamafactory.train.tuner import run_exp

    run_exp(dict(args))
    return Path(args["output_dir"])


def weights(output: Path) -> dict[str, Any]:
    """The trained weights of an output folder, by name."""
    from safetensors.torch import load_file

    name = "adapter_model.safetensors" if (output / "adapter_model.safetensors").exists() else "model.safetensors"
    return dict(load_file(output / name))


def journalled(output: Path) -> list[dict[str, Any]]:
    """The events in the journal of an output folder."""
    return records(output / "dataflex" / "journal.jsonl")


def records(journal: Path) -> list[dict[str, Any]]:
    """The events of a journal."""
    from dataflex_core.journal import read_journal, to_record

    return [to_record(event) for event in read_journal(journal)]


def losses_by_sample(args: dict[str, Any]) -> list[tuple[float, int]]:
    """Sum of token losses and number of target tokens of each sample, by plain PyTorch, data sets in order."""
    import torch
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer
    from transformers import AutoModelForCausalLM

    model_args, data_args, training_args, *_ = get_train_args({k: v for k, v in args.items() if k != "dataflex"})
    tokenizer = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)
    rows = get_dataset(template, model_args, data_args, training_args, stage="sft", **tokenizer)["train_dataset"]
    model = AutoModelForCausalLM.from_pretrained(args["model_name_or_path"], dtype=torch.float32).eval()
    found = []
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
        loss = torch.nn.functional.cross_entropy(logits, labels[1:], ignore_index=-100, reduction="sum")
        found.append((float(loss), int((labels[1:] != -100).sum())))
    return found


def of_kind(events: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The events of one kind."""
    return [event for event in events if event["event"] == kind]


def install_plugin(
    folder: Path, name: str, source: str, *, version: str = "1.0", requires: tuple[str, ...] = ()
) -> Path:
    """A distribution ``name`` in ``folder``, which is on the path: a module of that name, and the entry point to it."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    needed = "".join(f"Requires-Dist: {text}\n" for text in requires)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needed}")
    (info / "entry_points.txt").write_text(f"[dataflex]\n{name} = {module}\n")
    return folder


def offering(
    *names: str, kind: str = "selector", target: str = "m:C", params: str | None = None, head: str = ""
) -> str:
    """The source of a plugin that offers strategies of one kind; ``head`` comes first."""
    fields = f"kind={kind!r}, target={target!r}, params={params!r}, summary='does it'"
    lines = "".join(f"    yield StrategySpec(name={name!r}, {fields})\n" for name in names)
    imports = "from dataflex_core import Kind, StrategySpec, hookimpl"
    return f"{head}\n{imports}\n@hookimpl\ndef dataflex_strategies():\n{lines}"
