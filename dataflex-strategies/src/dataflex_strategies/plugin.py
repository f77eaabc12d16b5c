"""What this distribution offers. Declared here, imported only when used."""

from __future__ import annotations

from collections.abc import Iterator

from dataflex_core import Kind, Need, StrategySpec, hookimpl

_HERE = "dataflex_strategies"


@hookimpl
def dataflex_strategies() -> Iterator[StrategySpec]:
    """Every selector, mixer and weighter of this distribution."""
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="random",
        target=f"{_HERE}.selectors.random:RandomSelector",
        summary="a fresh uniform draw without replacement at each decision",
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="loss",
        target=f"{_HERE}.selectors.loss:LossSelector",
        params=f"{_HERE}.selectors.loss:LossParams",
        summary="draws more from a band of the loss: easy, middling or hard samples",
        needs={Need.LOSSES},
        predictable=False,
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="less",
        target=f"{_HERE}.selectors.less:LessSelector",
        params=f"{_HERE}.selectors.less:LessParams",
        summary="the samples whose update points where the target set's gradient points",
        reference="arXiv:2402.04333",
        needs={Need.GRADIENTS, Need.MOMENTS, Need.TARGET_SET},
        needs_for=f"{_HERE}.selectors.less:needs_for",
        cost_of=f"{_HERE}.selectors.less:cost_of",
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="icons",
        target=f"{_HERE}.selectors.icons:IconsSelector",
        params=f"{_HERE}.selectors.icons:IconsParams",
        summary="the samples that most of the target subtasks agree on",
        reference="arXiv:2501.00654",
        needs={Need.GRADIENTS, Need.MOMENTS, Need.TARGET_SET},
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="greats",
        target=f"{_HERE}.selectors.greats:GreatsSelector",
        params=f"{_HERE}.selectors.greats:GreatsParams",
        summary="one sample after the other by what it adds for the target set to those already taken",
        reference="Wang et al., GREATS, NeurIPS 2024",
        needs={Need.GRADIENTS, Need.MOMENTS, Need.TARGET_SET},
        cost_of=f"{_HERE}.selectors.greats:cost",
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="cluster-less",
        target=f"{_HERE}.selectors.cluster_less:ClusterLessSelector",
        params=f"{_HERE}.selectors.cluster_less:ClusterLessParams",
        summary="clusters of samples, by the influence of a few samples of each on the target set",
        reference="arXiv:2402.04333",
        needs={Need.EMBEDDINGS, Need.GRADIENTS, Need.MOMENTS, Need.TARGET_SET},
        cost_of=f"{_HERE}.selectors.cluster_less:cost",
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="nice",
        target=f"{_HERE}.selectors.nice:NiceSelector",
        params=f"{_HERE}.selectors.nice:NiceParams",
        summary="the samples that make the model's own answers on the target set better, by a reward",
        reference="Wang et al., NICE, ICML 2025",
        needs={Need.GENERATIONS, Need.GRADIENTS, Need.MOMENTS, Need.TARGET_SET},
        cost_of=f"{_HERE}.selectors.nice:cost",
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="column",
        target=f"{_HERE}.selectors.column:ColumnSelector",
        params=f"{_HERE}.selectors.column:ColumnParams",
        check=f"{_HERE}.selectors.column:check",
        summary="by a number that each sample brings along: a column of the data, or scores worked out before",
        predictable=False,
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="curriculum",
        target=f"{_HERE}.selectors.curriculum:CurriculumSelector",
        params=f"{_HERE}.selectors.curriculum:CurriculumParams",
        check=f"{_HERE}.selectors.curriculum:check",
        summary="the whole pool in one order, by loss, length or a column, arranged by a pattern",
        reference="arXiv:2605.30334",
        needs_for=f"{_HERE}.selectors.curriculum:needs",
        cost_of=f"{_HERE}.selectors.curriculum:cost",
        whole_pool=True,
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="delta-loss",
        target=f"{_HERE}.selectors.delta_loss:DeltaLossSelector",
        params=f"{_HERE}.selectors.delta_loss:DeltaLossParams",
        summary="draws more from a window that moves from what is learnt fastest to what is learnt slowest",
        needs={Need.LOSSES},
        predictable=False,
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="near",
        target=f"{_HERE}.selectors.near:NearSelector",
        params=f"{_HERE}.selectors.near:NearParams",
        check=f"{_HERE}.selectors.near:check",
        summary="the nearest neighbours of the target set's samples, every target in turn",
        needs_for=f"{_HERE}.selectors.near:needs",
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="rho-loss",
        target=f"{_HERE}.selectors.rho_loss:RhoLossSelector",
        params=f"{_HERE}.selectors.rho_loss:RhoLossParams",
        summary="the samples whose loss exceeds a reference model's by most",
        reference="arXiv:2206.07137",
        needs={Need.LOSSES},
    )
    yield StrategySpec(
        kind=Kind.SELECTOR,
        name="tsds",
        target=f"{_HERE}.selectors.tsds:TsdsSelector",
        params=f"{_HERE}.selectors.tsds:TsdsParams",
        check=f"{_HERE}.selectors.tsds:check",
        summary="a draw that fits the pool to the target set, near duplicates counting as one",
        reference="arXiv:2410.11303",
        needs_for=f"{_HERE}.selectors.tsds:needs",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="ado",
        target=f"{_HERE}.mixers.ado:AdoMixer",
        params=f"{_HERE}.mixers.ado:AdoParams",
        summary="draws more from domains whose loss falls fast, by a scaling law that is fitted to each",
        reference="arXiv:2410.11820",
        needs={Need.TRAINING_LOSSES},
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="doge",
        target=f"{_HERE}.mixers.doge:DogeMixer",
        params=f"{_HERE}.mixers.doge:DogeParams",
        summary="draws more from domains whose gradient helps the other domains, or the target set",
        reference="arXiv:2310.15393",
        needs={Need.GRADIENTS},
        needs_for=f"{_HERE}.mixers.doge:needs",
        cost_of=f"{_HERE}.mixers.doge:cost",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="doremi",
        target=f"{_HERE}.mixers.doremi:DoReMiMixer",
        params=f"{_HERE}.mixers.doremi:DoReMiParams",
        check=f"{_HERE}.mixers.doremi:check",
        summary="learns proportions with a proxy model, from what it loses over a reference model",
        reference="arXiv:2305.10429",
        needs={Need.LOSS_WEIGHTS, Need.REFERENCE_LOSSES},
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="dynamic-moe",
        target=f"{_HERE}.mixers.dynamic_moe:DynamicMoEMixer",
        params=f"{_HERE}.mixers.dynamic_moe:DynamicMoEParams",
        summary="draws more from domains that a mixture of experts serves with other experts",
        reference="arXiv:2406.11256",
        needs={Need.EXPERT_LOADS},
        cost_of=f"{_HERE}.mixers.dynamic_moe:cost",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="odm",
        target=f"{_HERE}.mixers.odm:OdmMixer",
        params=f"{_HERE}.mixers.odm:OdmParams",
        summary="a bandit that learns at every step which domains still have much to lose",
        reference="arXiv:2312.02406",
        needs={Need.TRAINING_LOSSES},
        needs_for=f"{_HERE}.mixers.odm:needs",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="random",
        target=f"{_HERE}.mixers.random:RandomMixer",
        params=f"{_HERE}.mixers.random:RandomParams",
        summary="fresh Dirichlet proportions at each decision: the baseline for a mixer",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="sheared",
        target=f"{_HERE}.mixers.sheared:ShearedMixer",
        params=f"{_HERE}.mixers.sheared:ShearedParams",
        check=f"{_HERE}.mixers.sheared:check",
        summary="draws more from domains that are further from the loss they are to reach",
        reference="arXiv:2310.06694",
        needs={Need.TRAINING_LOSSES},
        needs_for=f"{_HERE}.mixers.sheared:needs",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="static",
        target=f"{_HERE}.mixers.static:StaticMixer",
        params=f"{_HERE}.mixers.static:StaticParams",
        check=f"{_HERE}.mixers.static:check",
        summary="the proportions that you give, or those that another run came to",
    )
    yield StrategySpec(
        kind=Kind.MIXER,
        name="temperature",
        target=f"{_HERE}.mixers.temperature:TemperatureMixer",
        params=f"{_HERE}.mixers.temperature:TemperatureParams",
        summary="in proportion to size^(1/T): from proportional (T=1) towards uniform",
        reference="arXiv:1907.05019",
    )
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="uniform",
        target=f"{_HERE}.weighters.uniform:UniformWeighter",
        summary="weight one for every sample: training as it is without a weighter",
        compares=False,
        borderless=True,
    )
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="loss",
        target=f"{_HERE}.weighters.loss:LossWeighter",
        params=f"{_HERE}.weighters.loss:LossParams",
        check=f"{_HERE}.weighters.loss:check",
        summary="weights by the loss within an optimizer step's samples, up or down with it",
        reference="arXiv:2502.06733",
    )
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="adapt",
        target=f"{_HERE}.weighters.adapt:AdaptWeighter",
        params=f"{_HERE}.weighters.adapt:AdaptParams",
        summary="weights by likeness to the target set, as the model sees it",
        reference="arXiv:2605.05227",
        needs={Need.BATCH_EMBEDDINGS, Need.EMBEDDINGS, Need.TARGET_SET},
    )
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="joint-update",
        target=f"{_HERE}.weighters.joint_update:JointUpdateWeighter",
        params=f"{_HERE}.weighters.joint_update:JointUpdateParams",
        summary="weights by likeness to the target set, less for samples that are like each other",
        needs={Need.BATCH_EMBEDDINGS, Need.EMBEDDINGS, Need.TARGET_SET},
    )
    yield StrategySpec(
        kind=Kind.WEIGHTER,
        name="rho-1",
        target=f"{_HERE}.weighters.rho_1:Rho1Weighter",
        params=f"{_HERE}.weighters.rho_1:Rho1Params",
        summary="trains only on the tokens with the largest excess loss over a reference model",
        reference="arXiv:2404.07965",
        needs={Need.REFERENCE_LOSSES},
        borderless=True,
    )
