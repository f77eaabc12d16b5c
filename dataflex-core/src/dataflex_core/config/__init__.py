"""A run's configuration: values, files and what is laid over them, positions, parameters of strategies, JSON Schema."""
