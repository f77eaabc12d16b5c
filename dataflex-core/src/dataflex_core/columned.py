"""What carries columns of the data's files, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dataflex_core.errors import UnmetNeed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[Any]
    Columns = Mapping[str, Column]


class HasColumns:
    """What has ``columns``: those that ``dataflex.columns`` names, by name."""

    __slots__ = ()
    columns: Columns

    def column(self, name: str) -> Column:
        """What the data's files have in a column for each sample of the pool, [pool], by sample id; not to be changed.

        Whole numbers are Int64, other numbers Float64, true and false Bool, all else objects. Raises `UnmetNeed` where
        ``dataflex.columns`` does not name it.
        """
        if name not in self.columns:
            words = f"a strategy asks for the column {name}, and the run does not carry it"
            raise UnmetNeed(words, hint=f"set dataflex.columns: [{', '.join([*self.columns, name])}]")
        return self.columns[name]
