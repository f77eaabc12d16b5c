"""Everything DataFlex knows of LLaMA-Factory. No other package names its modules, keys or quirks.

Importing this package imports nothing heavy; `run` does, when it is called.
"""
