"""python -m classifier: split | train | metrics | predict | tricks."""

import sys

from classifier.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
