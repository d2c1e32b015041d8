"""The commands of `python -m classifier`."""
