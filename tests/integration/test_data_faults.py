"""The look into data sets agrees with LLaMA-Factory: what it calls sound loads, and what it calls a fault does not."""

from __future__ import annotations

import contextlib
import io

import pytest
from data_cases import FAULTY, SOUND, write_case

from dataflex_core.llamafactory.datasets.index import index_faults, stage_faults
from dataflex_core.llamafactory.datasets.look import look


@pytest.fixture(scope="module")
def load(model, tmp_path_factory):
    """LLaMA-Factory's own loading of a configuration's data; how many samples it has."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    def of(args):
        more = {"model_name_or_path": str(model), "do_train": True, "use_cpu": True, "report_to": "none"}
        more |= {"output_dir": str(tmp_path_factory.mktemp("out")), "cutoff_len": 16, "overwrite_cache": True}
        more |= {"reward_model": "x"} if args["stage"] == "ppo" else {}
        model_args, data_args, training_args, _, _ = get_train_args({**more, **args})
        tokenizer = load_tokenizer(model_args)
        template = get_template_and_fix_tokenizer(tokenizer["tokenizer"], data_args)
        stage = {"dpo": "rm"}.get(args["stage"], args["stage"])
        with contextlib.redirect_stdout(io.StringIO()):
            module = get_dataset(template, model_args, data_args, training_args, stage=stage, **tokenizer)
        return len(module["train_dataset"])

    return of


@pytest.mark.parametrize("name", [*SOUND, *FAULTY])
def test_the_look_agrees_with_the_loading(name, load, tmp_path):
    case = {**SOUND, **FAULTY}[name]
    args = write_case(case, tmp_path)
    found = [*index_faults(args), *stage_faults(args), *look(args).faults]
    try:
        rows, error = load(args), None
    except Exception as raised:
        rows, error = 0, raised
    assert bool(found) == (error is not None), (list(map(str, found)), rows, repr(error))
