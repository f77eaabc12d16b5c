"""hooks.py: the pluggy hook through which a distribution offers strategies."""

import types

import pluggy
import pytest

from dataflex_core.hooks import PROJECT, Hooks, hookimpl
from dataflex_core.spec import Kind, StrategySpec

SPEC = StrategySpec(kind=Kind.MIXER, name="mine", target="mine:Mine", summary="does a thing")


def manager():
    made = pluggy.PluginManager(PROJECT)
    made.add_hookspecs(Hooks)
    return made


def test_the_project_is_the_entry_point_group():
    assert PROJECT == "dataflex"


def test_a_marked_function_is_called_through_the_hook():
    plugin = types.ModuleType("plugin")
    plugin.dataflex_strategies = hookimpl(lambda: [SPEC])
    made = manager()
    made.register(plugin)
    made.check_pending()
    assert [list(answer) for answer in made.hook.dataflex_strategies()] == [[SPEC]]


def test_a_marked_function_that_no_hook_expects_is_found():
    plugin = types.ModuleType("plugin")
    plugin.dataflex_strategy = hookimpl(lambda: [SPEC])
    made = manager()
    made.register(plugin)
    with pytest.raises(pluggy.PluginValidationError, match="dataflex_strategy"):
        made.check_pending()
