"""Which strategies there are: discovery through entry points and files, faults as data, resolution of names."""

from dataflex_core.catalog.discovery import discover
from dataflex_core.catalog.names import Catalog
from dataflex_core.catalog.plugins import Plugins
from dataflex_core.catalog.records import Fault, Record, RuleRecord

__all__ = ["Catalog", "Fault", "Plugins", "Record", "RuleRecord", "discover"]
