"""Data sets loaded one by one, so that a fault of one hides none of another's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dataflex_core.errors import DataError
from dataflex_core.llamafactory.called import llamafactory_errors, loader_of
from dataflex_core.llamafactory.datasets.index import Named
from dataflex_core.llamafactory.datasets.replay import loading_errors
from dataflex_core.llamafactory.loading import narrowed
from dataflex_core.prepared import PreparedRun


def data_faults(prepared: PreparedRun, data_sets: Iterable[Named], *, launched: bool = False) -> Iterator[DataError]:
    """What LLaMA-Factory stops over in each of ``data_sets`` by itself: of each kind of fault the first row.

    Loads tokenizer and data, but no model, and writes nothing. Raises what is said of the configuration.
    ``launched`` is whether a launcher will start the run's ranks.
    """
    with llamafactory_errors():
        load, data_args, _ = loader_of(prepared, launched=launched)
    data_args.tokenized_path = None
    for one in data_sets:
        alone = {"dataset": None, "eval_dataset": None, "eval_on_each_dataset": False, one.key: [one.name]}
        try:
            load(narrowed(data_args, one.name, **alone))
        except Exception as error:  # whatever a row makes LLaMA-Factory raise
            found = loading_errors(error)
            for fault in found:
                fault.key = one.where
            yield from found
