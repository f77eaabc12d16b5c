"""A run's configuration: files, their merging, positions in them, parameters of strategies, JSON Schema."""
