"""Everything DataFlex knows of LLaMA-Factory. No other package names its modules, arguments, variables or quirks.

What it is told: `args`, the arguments of a run; `environment`, the variables; `written`, how values are read.
What it would say to that, in milliseconds: `keys`, which arguments there are; `values`, what they may be; `checks`.
What it does: `devices`, `data`, `resume`, `run`.

Importing this package imports nothing heavy; `run` does, when it is called.
"""
