"""Run matrices of image-classification experiments and write their tables.

python runner.py experiments/ema.yaml
"""

import sys

from experiments.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
