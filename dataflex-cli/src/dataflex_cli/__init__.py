"""The ``dataflex`` command."""
