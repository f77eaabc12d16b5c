"""What a run's launcher hands to the processes that it starts: what it validated, so that they need not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from dataflex_core.catalog import Plugins, discover
from dataflex_core.config import params
from dataflex_core.config.section import RunConfig, StrategyChoice
from dataflex_core.judging import Judging
from dataflex_core.prepared import Chosen, PreparedRun, Slot, choose
from dataflex_core.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A validated configuration, its strategies by their full names, and the plugins that offer them.

    The parameters are as they were written: whoever takes over builds them anew. ``judging`` is what is done instead
    of training, if anything is.
    """

    config: RunConfig
    strategies: Mapping[Slot, StrategyChoice]
    plugins: Plugins
    judging: Judging | None = None

    @classmethod
    def of(cls, prepared: PreparedRun, plugins: Plugins, judging: Judging | None = None) -> Handover:
        """A run that was found possible with the strategies of ``plugins``."""
        strategies: dict[Slot, StrategyChoice] = {}
        for slot, chosen in prepared.strategies.items():
            choice = prepared.config.dataflex.choice(slot.kind, slot.position)
            assert choice is not None
            strategies[slot] = replace(choice, name=chosen.record.id)
        return cls(config=prepared.config, strategies=strategies, plugins=plugins, judging=judging)

    def to_json(self) -> str:
        """As text that `from_json` reads back."""
        plain = {
            "config": self.config.to_plain(),
            "strategies": [{**asdict(slot), **asdict(choice)} for slot, choice in self.strategies.items()],
            "plugins": self.plugins.to_plain(),
            "judging": None if self.judging is None else self.judging.to_plain(),
        }
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Handover:
        """What `to_json` wrote; nothing is merged, resolved or validated again."""
        plain = json.loads(text)
        return cls(
            config=RunConfig.from_plain(plain["config"]),
            strategies={
                Slot(Kind(one["kind"]), one["position"]): StrategyChoice(name=one["name"], params=one["params"])
                for one in plain["strategies"]
            },
            plugins=Plugins.from_plain(plain["plugins"]),
            judging=None if plain["judging"] is None else Judging.from_plain(plain["judging"]),
        )

    def prepared(self) -> PreparedRun:
        """The run, its strategies found in this process and their parameters built; the configuration is trusted.

        Raises `UnknownStrategy` where a plugin is missing here, `InvalidPlugin` for a bad file, `StrategyFault` where
        a strategy does not load, `InvalidParameters` where another version of the plugin refuses them.
        """
        catalog = discover(plugins=self.plugins)
        strategies: dict[Slot, Chosen] = {}
        for slot, choice in self.strategies.items():
            record = catalog.resolve(slot.kind, choice.name)
            made = params.validate(record.load_params(), choice.params, owner=f"{slot.kind} {choice.name}")
            strategies[slot] = choose(record, made)
        return PreparedRun(config=self.config, strategies=strategies, rules=catalog.rules)
