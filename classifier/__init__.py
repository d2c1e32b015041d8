"""How one job is done: train, evaluate or benchmark. Knows nothing of matrices.

`job` is the only way in. Importing it imports torch; what planning needs (`config`, `records`,
`tricks`, `data`'s listing, `models.catalogue`) does not.
"""
