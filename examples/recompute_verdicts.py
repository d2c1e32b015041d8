"""Every figure of the digits' verdicts.csv once more, from the stored predictions and SciPy alone.

    python examples/recompute_verdicts.py runs reports/digits/verdicts.csv

Nothing of this project is imported, so that what is computed twice is computed in two ways. Prints
the largest difference of each column; ends with 1 where one is above 1e-9 (p values: relative).
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, t

runs, table = Path(sys.argv[1]), Path(sys.argv[2])
right, passes = defaultdict(dict), {}
for file in sorted(runs.glob("*/*/record.json")):
    record = json.loads(file.read_text())
    if record["kind"] == "evaluate":
        spec, training = record["spec"], record["training"]
        stored = np.load(file.with_name("predictions.npz"))
        order = np.argsort(stored["paths"])
        answers = (stored["logits"].argmax(axis=1) == stored["labels"])[order]
        arm = "rdrop" if training.get("rdrop") else "ema" if spec.get("ema") else "plain"
        key = training["model"], arm, spec["split"], spec["precision"]
        right[key][training["seed"]] = answers
    elif record["kind"] == "benchmark":
        passes[record["spec"]["model"], record["spec"]["precision"]] = record["seconds"]


def scores(row, header):
    """(seeds, images) of a cell."""
    arm = "rdrop" if "r-drop" in header else "ema" if "ema" in header else "plain"
    part = "val" if header.startswith("val") else "test"
    found = right[row, arm, part, "fp16" if "half" in header else "fp32"]
    return np.array([found[seed] for seed in sorted(found)]).astype(float)


def squares(x):
    s, n = x.shape
    rest = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean()
    seeds = n * x.mean(axis=1).var(ddof=1)
    return seeds, s * x.mean(axis=0).var(ddof=1), (rest**2).sum() / (s - 1) / (n - 1)


def crossed(x):
    """The half width at a tail."""
    (s, n), (seeds, images, rest) = x.shape, squares(x)

    def half(tail):
        z, q = norm.isf(tail), t.isf(tail, s - 1)
        variance = (max(q * q * seeds, z * z * rest) + z * z * max(images - rest, 0)) / (s * n)
        return np.sqrt(variance + (z * z / (n + z * z)) ** 2)

    return half


def lines(differences):
    """Both half widths over rows."""
    k, (s, n) = len(differences), differences[0].shape
    ms = np.array([squares(each) for each in differences])
    moved = ms[:, 0].sum() > 0
    df = ms[:, 0].sum() ** 2 / (ms[:, 0] ** 2 / (s - 1)).sum() if moved else s - 1
    by_image = np.mean([each.mean(axis=0) for each in differences], axis=0)
    images = max(by_image.var(ddof=1) - ms[:, 2].sum() / (k * k * s), 0) / n
    sample = np.var([each.mean() for each in differences], ddof=1) / k

    def these(tail):
        z, q = norm.isf(tail), t.isf(tail, df)
        seeds = max(q * q * ms[:, 0].sum(), z * z * ms[:, 2].sum()) / (k * k * s * n)
        return np.sqrt(seeds + z * z * images + (z * z / (n + z * z)) ** 2)

    def like_these(tail):
        z, q = norm.isf(tail), t.isf(tail, k - 1)
        own = np.sqrt(q * q * sample + z * z * images + (z * z / (n + z * z)) ** 2)
        return max(own, these(tail))

    return {"these models": these, "models like these": like_these}


def p_of(distance, half):
    if distance == 0:
        return 1.0
    return 2 * np.exp(brentq(lambda x: half(np.exp(x)) - abs(distance), -200, np.log(0.5)))


def speed(row, header, base):
    """The ratio, its logarithm's half width."""
    sides = [passes[row, "fp16" if "FP16" in each else "fp32"] for each in (header, base)]
    if min(map(len, sides)) < 20:
        return None
    ratio = np.log(np.median(sides[1]) / np.median(sides[0]))
    variances = []
    for side in sides:
        ends = [round(len(side) / 10 * block) for block in range(11)]
        blocks = [np.log(np.median(side[a:b])) for a, b in zip(ends, ends[1:])]  # noqa: B905, RUF007
        variances.append(np.var(blocks, ddof=1) / 10)
    df = sum(variances) ** 2 / sum(v * v / 9 for v in variances)
    return ratio, lambda tail: t.isf(tail, df) * np.sqrt(sum(variances))


def recomputed(row, rows):
    if not row["row"]:
        group = [r for r in rows if r["table"] == row["table"] and r["column"] == row["column"]]
        pairs = [
            scores(r["row"], r["column"]) - scores(r["baseline_row"], r["baseline_column"])
            for r in group
            if r["row"]
        ]
        mean, half = np.mean(pairs), lines(pairs)[row["speaks_of"]]
        return compared(mean, half)
    if "FPS" in row["column"]:
        found = {}
        if row["difference"]:
            ratio, half = speed(row["row"], row["column"], row["baseline_column"])
            low, high = np.expm1([ratio - half(0.025), ratio + half(0.025)])
            limits = {"difference_low": low, "difference_high": high}
            found = {"difference": np.expm1(ratio), **limits, "p": p_of(ratio, half)}
        return found
    if "train stage" in row["column"]:
        return {}
    own = scores(row["row"], row["column"])
    half, n, z = crossed(own)(0.025), own.shape[1], norm.isf(0.025)
    middle = (own.mean() + z * z / 2 / n) / (1 + z * z / n)
    wilson = z / (1 + z * z / n) * np.sqrt(own.mean() * (1 - own.mean()) / n + (z / 2 / n) ** 2)
    found = {
        "figure": own.mean(),
        "low": max(min(own.mean() - half, middle - wilson), 0),
        "high": min(max(own.mean() + half, middle + wilson), 1),
    }
    if row["difference"]:
        pair = own - scores(row["baseline_row"], row["baseline_column"])
        found |= compared(pair.mean(), crossed(pair))
    return found


def compared(mean, half):
    limits = {}
    for low, high, tail in (
        ("difference_low", "difference_high", 0.025),
        ("low_90", "high_90", 0.05),
    ):
        limits |= {low: max(mean - half(tail), -1), high: min(mean + half(tail), 1)}
    return {"difference": mean, **limits, "p": p_of(mean, half)}


rows = list(csv.DictReader(table.open()))
again = [recomputed(row, rows) for row in rows]
for name in dict.fromkeys(row["table"] for row in rows):
    family = [found for row, found in zip(rows, again, strict=True) if row["table"] == name]
    family = sorted((found for found in family if "p" in found), key=lambda found: found["p"])
    largest = 0.0
    for rank, found in enumerate(family):
        largest = found["holm_p"] = max(largest, min(1, (len(family) - rank) * found["p"]))
worst, count = defaultdict(float), 0
for row, found in zip(rows, again, strict=True):
    for name, value in found.items():
        error = abs(float(row[name]) - value) / (value if name.endswith("p") else 1)
        worst[name], count = max(worst[name], error), count + 1
print(f"{count} figures of {len(rows)} rows; largest difference by column:")
print("\n".join(f"{name:16} {error:.1e}" for name, error in worst.items()))
sys.exit(1 if max(worst.values()) > 1e-9 else 0)
