"""The embedded demo: a model, data and a configuration that train offline on two CPU cores."""
