"""What `dataflex_core.Signals` answers: losses, gradients, embeddings and completions by the model in training.

`model_signals` is the door, `context` what a run gives it; importing this package imports nothing.
"""
