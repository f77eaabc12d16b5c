"""The conformance kit: what core promises of a strategy, as checks that a strategy's author runs.

Strategies are asked what a run asks them, through the functions that a run asks through, on a CPU and in seconds: of a
made-up pool, with made-up facts about a model that there is not, on ranks that are threads. Importing this imports
neither torch nor pytest.
"""

from dataflex_core.testing.errors import CheckFailed, NotConforming
from dataflex_core.testing.pytest_door import Outcome, all_checks, check_strategy, parametrize_with_checks, run_checks

__all__ = [
    "CheckFailed",
    "NotConforming",
    "Outcome",
    "all_checks",
    "check_strategy",
    "parametrize_with_checks",
    "run_checks",
]
