"""Run matrices of image-classification experiments and write their tables.

python runner.py experiments/ema.yaml
"""

import gc
import sys

gc.disable()  # what is imported stays, so there is nothing to look for meanwhile

from experiments.cli.main import main  # noqa: E402

gc.enable()

__all__ = ["command", "main"]


def command() -> int:
    """`ablate`, and this file as a script."""
    gc.set_threshold(100_000)  # records are many objects, and none of them garbage
    try:
        return main()
    finally:
        gc.freeze()  # else the interpreter looks through all modules once more, for half a second


if __name__ == "__main__":
    sys.exit(command())
