"""The selectors, a file each."""
