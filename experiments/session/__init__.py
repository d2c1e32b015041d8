"""What is done with matrices and their store: planned, tried, run, reported, and given as frames.

Used by `experiments.api` and, beneath it, by the command line.
"""
