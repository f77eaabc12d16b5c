"""handover: what one process validated, the others of its run take over."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dataflex_core.catalog import Plugins, discover
from dataflex_core.config.load import load_config
from dataflex_core.config.overrides import Overrides
from dataflex_core.errors import UnknownStrategy
from dataflex_core.handover import Handover
from dataflex_core.prepare import prepare
from dataflex_core.spec import Kind

ARGS = {
    "model_name_or_path": "m",
    "do_train": True,
    "output_dir": "out/${b}",
    "ray_init_kwargs": {"some": [1, None, 1e-5]},
}


@pytest.fixture
def run():
    """A run with strategies of all kinds, found possible, and what hands it over."""
    overrides = Overrides(
        values={**ARGS, "dataflex.allow_changed": ("data",), "dataflex.columns": ["a"], "dataflex.domain_column": "b"},
        strategies={Kind.SELECTOR: "loss", Kind.MIXER: "static", Kind.WEIGHTER: ("loss", "uniform", "loss")},
        parameter_words=("selector.focus=low", "mixer.proportions=[1, 3]", "weighter.2.delta=2"),
    )
    prepared = prepare(load_config(None, overrides), discover())
    return prepared, Handover.of(prepared, Plugins())


def test_another_process_is_given_the_same_run(run):
    prepared, handed_over = run
    again = Handover.from_json(handed_over.to_json())
    assert again == handed_over
    assert again.prepared() == prepared
    assert [choice.name for choice in again.strategies.values()] == [c.record.id for c in prepared.strategies.values()]


def test_a_plugin_that_is_missing_there_is_named(run):
    handed_over = replace(run[1], plugins=Plugins(without=frozenset({"dataflex-strategies"})))
    with pytest.raises(UnknownStrategy, match="no selector is called 'dataflex-strategies/loss'"):
        handed_over.prepared()
