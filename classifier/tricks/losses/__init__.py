"""The losses that a training may name, a file each, with their label smoothing."""
