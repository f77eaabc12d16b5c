"""experts.py: what a configuration says of a model's experts, and who is refused a dense one before it loads."""

from __future__ import annotations

import json

import pytest

from dataflex_core.catalog import discover
from dataflex_core.config.section import DataflexConfig, RunConfig, StrategyChoice
from dataflex_core.experts import experts_of
from dataflex_core.prepare import examine_run


@pytest.mark.parametrize(
    ("config", "experts"),
    [
        ({"model_type": "llama", "num_hidden_layers": 2}, 0),
        ({"num_local_experts": 8, "num_experts_per_tok": 2}, 8),
        ({"num_experts": 60, "num_experts_per_tok": 4}, 60),
        ({"n_routed_experts": 64, "n_shared_experts": 2}, 64),
        ({"n_routed_experts": None}, 0),
        ({"num_local_experts": 0}, 0),
        ({"num_experts": 1}, 0),
        ({"vision_config": {"depth": 2}, "text_config": {"num_experts": 128}}, 128),
        ({"ffn_config": {"moe_num_experts": 16}}, 16),
    ],
)
def test_the_experts_that_a_router_chooses_from(config, experts):
    assert experts_of(config) == experts


@pytest.mark.parametrize(
    ("config", "refused"), [({"model_type": "llama"}, True), ({"num_experts": 4}, False), (None, False)]
)
def test_a_dense_model_is_refused_in_one_line_before_it_loads(tmp_path, config, refused):
    model = "someone/model"
    if config is not None:
        model = tmp_path / "model"
        model.mkdir()
        (model / "config.json").write_text(json.dumps(config))
    args = {"model_name_or_path": str(model), "do_train": True, "stage": "sft", "output_dir": str(tmp_path / "out")}
    section = DataflexConfig(mixer=StrategyChoice(name="dynamic-moe"))
    _, faults = examine_run(RunConfig(args=args, dataflex=section), discover())
    said = [(fault.key, str(fault)) for fault in faults if "experts" in str(fault)]
    line = (
        f"mixer dynamic-moe asks which experts tokens are sent to, and {model} has none "
        "(train a mixture of experts, such as Mixtral or Qwen2-MoE)"
    )
    assert said == ([(("model_name_or_path",), line)] if refused else [])
