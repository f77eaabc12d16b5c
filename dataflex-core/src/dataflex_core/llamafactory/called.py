"""LLaMA-Factory, called: its arguments, its own way of loading data, and its errors as ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from dataflex_core.errors import DataError, DataflexError, InvalidConfig
from dataflex_core.llamafactory.datasets.index import is_tokenized
from dataflex_core.llamafactory.datasets.replay import loading_error
from dataflex_core.llamafactory.keys import LAUNCH_KEYS
from dataflex_core.llamafactory.loading import Load
from dataflex_core.llamafactory.values import whole
from dataflex_core.prepared import PreparedRun
from dataflex_core.wording import first_line


def args_of(prepared: PreparedRun) -> dict[str, Any]:
    """LLaMA-Factory's arguments, as it takes them."""
    return {key: whole(key, value) for key, value in prepared.config.args.items() if key not in LAUNCH_KEYS}


def loader_of(prepared: PreparedRun, *, launched: bool) -> tuple[Load, Any, Any]:
    """What loads data in LLaMA-Factory's way, and its arguments of data and training.

    What is tokenised already is read, wherever it lies, and nothing is saved: where nothing lies at ``tokenized_path``
    of the arguments that are loaded, it is taken out of them.

    ``launched`` is whether a launcher will start the run's ranks: LLaMA-Factory is then asked as one of them asks it.
    """
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    with _as_a_rank() if launched else nullcontext():
        model_args, data_args, training_args, finetuning_args, _ = get_train_args(args_of(prepared))
    tokenizer_module = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(tokenizer_module["tokenizer"], data_args)

    def load(of: Any) -> dict[str, Any]:
        if not is_tokenized(of.tokenized_path):
            of.tokenized_path = None  # LLaMA-Factory would save the data there, and what is known of its rows beside it
        stage = finetuning_args.stage
        module: dict[str, Any] = get_dataset(template, model_args, of, training_args, stage=stage, **tokenizer_module)
        return module

    return load, data_args, training_args


@contextmanager
def _as_a_rank() -> Iterator[None]:
    """While the block runs, training arguments say that they are of a rank among others.

    This process is none. For LLaMA-Factory it is one that trains on all devices at once, or under DeepSpeed alone: it
    refuses both.
    """
    from transformers.training_args import ParallelMode, TrainingArguments

    stock = TrainingArguments.parallel_mode

    def mode(arguments: Any) -> Any:
        own = stock.fget(arguments)
        return ParallelMode.DISTRIBUTED if own in (ParallelMode.NOT_PARALLEL, ParallelMode.NOT_DISTRIBUTED) else own

    TrainingArguments.parallel_mode = property(mode)
    try:
        yield
    finally:
        TrainingArguments.parallel_mode = stock


@contextmanager
def llamafactory_errors() -> Iterator[None]:
    """Turn what LLaMA-Factory says of a configuration or of data into errors with a remedy."""
    try:
        yield
    except DataflexError:
        raise
    except Exception as error:
        if (told := loading_error(error)) is not None:
            raise told from error
        if isinstance(error, ValueError) and (too_many := _held_out(error)) is not None:
            raise too_many from error
        # Its arguments join the ranks, too, and what goes wrong there is no fault of theirs: a RuntimeError, but for
        # NotImplementedError, which is one by inheritance and how LLaMA-Factory refuses.
        of_ranks = isinstance(error, RuntimeError) and not isinstance(error, NotImplementedError)
        if not of_ranks and any(name.startswith("llamafactory.hparams") for name in _modules(error)):
            hint = "change what it names, or leave it out"
            raise InvalidConfig(f"LLaMA-Factory refuses the configuration: {first_line(error)}", hint=hint) from error
        raise


def _held_out(error: ValueError) -> DataError | None:
    """What the datasets library says where val_size leaves no row to train on, or none to evaluate on."""
    said = str(error)
    size, rows = re.search(r"test_size=([\d.e-]+)", said), re.search(r"n_samples=(\d+)|number of samples (\d+)", said)
    if size is None or rows is None:
        return None
    told = f"val_size is {size[1]}, and there are {rows[1] or rows[2]} rows: both parts need one"
    return DataError(told, hint="set it to fewer rows than there are, or to a smaller share", key=["val_size"])


def _modules(error: BaseException) -> list[str]:
    names = []
    traceback = error.__traceback__
    while traceback is not None:
        names.append(str(traceback.tb_frame.f_globals.get("__name__", "")))
        traceback = traceback.tb_next
    return names
