"""The weighters, a file each."""
