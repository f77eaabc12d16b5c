"""The mixers, a file each."""
