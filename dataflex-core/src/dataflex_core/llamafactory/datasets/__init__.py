"""The files of data sets, looked at as LLaMA-Factory will read them, without importing it.

Above it in the order of modules are words and values; `look` puts them together.
"""
