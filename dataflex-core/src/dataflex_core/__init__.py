"""DataFlex: decide about the data while a language model trains.

The public names a strategy author needs. Importing them imports neither torch nor numpy.
"""

from dataflex_core.choosing import gumbel_top, top
from dataflex_core.contracts import Mixer, ScoringSelector, Selector, Weighter
from dataflex_core.domains import Domain, count_by_domain, domain_of, mean_by_domain, sum_by_domain
from dataflex_core.errors import DataflexError, StrategyFault, UsageError
from dataflex_core.hooks import hookimpl
from dataflex_core.layers import last_layers
from dataflex_core.references import ReferenceModel
from dataflex_core.requests import (
    CheckRequest,
    Cost,
    CostRequest,
    MixRequest,
    Mixture,
    NoParams,
    Progress,
    Selection,
    SelectionRequest,
    SetupContext,
    StepFacts,
)
from dataflex_core.rows import Row
from dataflex_core.score_file import RowScores
from dataflex_core.shares import rounded_down, rounded_up
from dataflex_core.signals import Direction, Generations, Signals
from dataflex_core.spec import GradientRule, Kind, Need, StrategySpec
from dataflex_core.weighing import IntervalRequest, TokenLosses, WeighRequest, Weights

__version__ = "2.0.0"

__all__ = [
    "CheckRequest",
    "Cost",
    "CostRequest",
    "DataflexError",
    "Direction",
    "Domain",
    "Generations",
    "GradientRule",
    "IntervalRequest",
    "Kind",
    "MixRequest",
    "Mixer",
    "Mixture",
    "Need",
    "NoParams",
    "Progress",
    "ReferenceModel",
    "Row",
    "RowScores",
    "ScoringSelector",
    "Selection",
    "SelectionRequest",
    "Selector",
    "SetupContext",
    "Signals",
    "StepFacts",
    "StrategyFault",
    "StrategySpec",
    "TokenLosses",
    "UsageError",
    "WeighRequest",
    "Weighter",
    "Weights",
    "count_by_domain",
    "domain_of",
    "gumbel_top",
    "hookimpl",
    "last_layers",
    "mean_by_domain",
    "rounded_down",
    "rounded_up",
    "sum_by_domain",
    "top",
]
