"""How one job is done: train, evaluate or benchmark. Knows nothing of matrices.

Importing this package is cheap; only a job (`classifier.job.execute`) imports torch.
"""
