"""The losses that a training may name, a file each; any of them may weigh the classes."""
