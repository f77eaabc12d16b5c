"""The journal of a run: everything that it decides, an event a line."""
