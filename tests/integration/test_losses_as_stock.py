"""A loss that is taken token by token is divided, and added to, as the stock trainer does with a model's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import transformers

from dataflex_core.errors import RunFailed
from dataflex_core.trainer.losses import LossTrainer, router_coefficient

pytestmark = pytest.mark.numeric

# Where a family says how much its routers' loss counts, and a value that is nobody's own.
FAMILIES = {
    "Mixtral": {"router_aux_loss_coef": 0.37},
    "Qwen3Moe": {"router_aux_loss_coef": 0.37},
    "Olmoe": {"router_aux_loss_coef": 0.37},
    "JetMoe": {"aux_loss_coef": 0.37},
    "Dbrx": {"ffn_config": {"moe_loss_weight": 0.37}, "attn_config": {"rope_theta": 1e4}},
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_routers_loss_counts_what_the_family_says(family):
    config = getattr(transformers, f"{family}Config")(num_hidden_layers=1, **FAMILIES[family])
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert router_coefficient(model) == 0.37


def test_it_may_stand_in_the_part_of_the_configuration_that_is_of_text():
    text = SimpleNamespace(router_aux_loss_coef=0.37)
    assert router_coefficient(SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: text))) == 0.37
    silent = SimpleNamespace(get_text_config=SimpleNamespace)
    with pytest.raises(RunFailed, match="how much it counts is not known here"):
        router_coefficient(SimpleNamespace(config=silent))


def normalised(*, told, processes=1, averages=True, accumulation=1, in_step=True):
    """The loss of two target tokens of four, of 3.0 in sum, beside a routers' loss of .5; as many on each process."""
    trainer = SimpleNamespace(
        model_accepts_loss_kwargs=told,
        current_gradient_accumulation_steps=accumulation,
        args=SimpleNamespace(average_tokens_across_devices=averages, n_gpu=1),
        accelerator=SimpleNamespace(num_processes=processes),
        _in_step=in_step,
    )
    trainer._multiplied_by = lambda items: LossTrainer._multiplied_by(trainer, items)
    mask, items = torch.tensor([True, False, True, False]), torch.tensor(2 * processes * accumulation)
    loss = LossTrainer._normalised(trainer, torch.tensor(3.0), mask, 0.5, items)
    stock = processes if averages else 1  # what transformers multiplies by afterwards, for it was told of items
    return float(loss) * stock


@pytest.mark.parametrize("processes", [1, 2, 4])
@pytest.mark.parametrize("averages", [True, False])
def test_a_mean_of_means_is_the_same_on_any_number_of_processes(processes, averages):
    # The model's own loss, which stock divides by the accumulation, and multiplies by nothing.
    for accumulation in (1, 4):
        found = normalised(told=False, processes=processes, averages=averages, accumulation=accumulation)
        assert found == pytest.approx((3.0 / 2 + 0.5) / accumulation)
    assert normalised(told=False, processes=processes, averages=averages, in_step=False) == pytest.approx(2.0)


def test_a_loss_by_the_windows_tokens_is_not_divided_again():
    assert normalised(told=True, accumulation=4) == pytest.approx(3.0 / 8 + 0.5)
