"""DataFlex: decide about the data while a language model trains.

The public names a strategy author needs. Importing them imports neither torch nor numpy.
"""

from dataflex_core.contracts import (
    Domain,
    DomainStats,
    Mixer,
    MixRequest,
    NoParams,
    Progress,
    ScoringSelector,
    Selection,
    SelectionRequest,
    Selector,
    SetupContext,
    TokenLosses,
    WeighRequest,
    Weighter,
    top,
)
from dataflex_core.errors import DataflexError, StrategyFault, UsageError
from dataflex_core.hooks import hookimpl
from dataflex_core.signals import Generations, Signals
from dataflex_core.spec import Kind, Need, StrategySpec

__version__ = "2.0.0"

__all__ = [
    "DataflexError",
    "Domain",
    "DomainStats",
    "Generations",
    "Kind",
    "MixRequest",
    "Mixer",
    "Need",
    "NoParams",
    "Progress",
    "ScoringSelector",
    "Selection",
    "SelectionRequest",
    "Selector",
    "SetupContext",
    "Signals",
    "StrategyFault",
    "StrategySpec",
    "TokenLosses",
    "UsageError",
    "WeighRequest",
    "Weighter",
    "hookimpl",
    "top",
]
