"""Whether strategies do what they claim, where something is planted for them: tables of docs/experiments.md."""
