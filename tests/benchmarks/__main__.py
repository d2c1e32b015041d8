"""The benchmarks by name; each prints a Markdown table.

python -m tests.benchmarks ratios | sharing | transfer | folds [DRAWS]
python -m tests.benchmarks statistics [--full | --multiclass]
python -m tests.benchmarks scale [COUNT] | page [ROWS] | launchers [COUNT] | kills [COUNT]
python -m tests.benchmarks remaining [RUNS MATRIX.yaml ...] | order [PLANS]
python -m tests.benchmarks networks [NAME ...] | thirty [NAME ...]
"""

from __future__ import annotations

import importlib
import sys

NAMES = (
    "ratios", "sharing", "transfer", "statistics", "folds", "scale", "page", "launchers", "kills",
    "remaining", "order", "networks", "thirty",
)  # fmt: skip


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in NAMES:
        print(__doc__, file=sys.stderr)
        return 2
    module = importlib.import_module(f"tests.benchmarks.{arguments[0]}")
    options = [int(each) if each.isdecimal() else each for each in arguments[1:]]
    return int(module.main(*options) or 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
