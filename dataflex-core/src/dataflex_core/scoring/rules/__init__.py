"""Rules that make per-sample gradients of what a layer's call leaves: a file for each kind of layer."""
