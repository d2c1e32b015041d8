"""How one job is done: train, evaluate or benchmark. Knows nothing of matrices.

Importing this package is cheap; only `classifier.execute` imports torch.
"""
