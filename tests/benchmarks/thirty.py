"""Thirty networks that differ most in kind, each trained for an epoch at its smallest size.

    python -m tests.benchmarks thirty [NAME ...]

Digits, 20 images a class; the image size is the least from 32 on that the network takes. Each has a
process of its own, so that memory is given back. Prints each one's seconds, the process's start
left out, and what it said of the validation images.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from classifier.basics.place import Place
from classifier.config.spec import TrainSpec
from classifier.data.spec import DataSpec
from classifier.job import train
from classifier.models import catalogue
from reports.blocks import Grid
from reports.page.markdown import grid

THIRTY = {
    "squeezenet1_1": "a convolution as classifier",
    "googlenet": "auxiliary heads",
    "inception_v3": "auxiliary heads, 75 pixels at least",
    "alexnet": "linear layers of maps",
    "shufflenet_v2_x0_5": "shuffled channels",
    "mnasnet0_5": "searched for phones",
    "regnet_y_400mf": "a design space",
    "vit_b_32": "torchvision's transformer",
    "dla46x_c": "aggregated layers, a convolution as head",
    "dpn48b": "dual paths, a convolution as head",
    "resnetv2_18": "norms before activations, a convolution as head",
    "nf_regnet_b0": "no norms",
    "caformer_s18": "an MLP as head",
    "poolformer_s12": "pooling in place of attention",
    "deit_tiny_distilled_patch16_224": "two tokens, two heads",
    "levit_128s": "two heads with norms",
    "pit_ti_distilled_224": "two heads, pooled tokens",
    "efficientformer_l1": "two heads, 224 pixels only",
    "repvit_m0_9": "branches that are fused, two heads",
    "mobileone_s0": "branches that are fused",
    "crossvit_tiny_240": "two branches of patches",
    "efficientvim_m1": "states in place of attention, heads of stages",
    "vit_small_patch14_dinov2": "no head, a token",
    "test_vit2": "no head, pooled by attention",
    "swin_tiny_patch4_window7_224": "shifted windows",
    "maxvit_rmlp_pico_rw_256": "blocks and grids",
    "xcit_nano_12_p16_224": "attention between channels",
    "mixer_s32_224": "MLPs alone",
    "convmixer_1024_20_ks9_p14": "convolutions of patches",
    "mambaout_femto": "gated convolutions",
}
LEAST = 32


def side_of(model: str) -> int:
    known = catalogue.known_of(model)
    assert known is not None and not known.refused, model
    return next(side for side in range(LEAST, known.own + 1) if known.takes(side))


def once(model: str) -> None:
    """Train it here, and print a line of JSON."""
    logging.disable()
    warnings.simplefilter("ignore")
    data = DataSpec(name="digits", limit=20)
    spec = TrainSpec(
        data=data, model=model, image_size=side_of(model), batch_size=16, epochs=1, lr=1e-3
    )
    with tempfile.TemporaryDirectory() as folder:
        (outcome,) = train(spec, Path(folder), Place(Path(folder)))
    record, cost = outcome.record, outcome.cost
    told = {
        "model": model,
        "side": spec.image_size,
        "parameters": record.parameters,
        "loss": record.history[0].train_loss,
        "accuracy": record.accuracy,
        "seconds": cost.seconds,
        "memory": cost.peak_memory_mib,
    }
    print(json.dumps(told))


def main(*names: str) -> int:
    if names[:1] == ("--once",):
        once(names[1])
        return 0
    rows, failed = [], 0
    for model in names or THIRTY:
        command = [sys.executable, "-m", "tests.benchmarks", "thirty", "--once", model]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            failed += 1
            print(f"{model}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            continue
        rows.append(json.loads(done.stdout))
        print(done.stdout, end="", file=sys.stderr, flush=True)
    columns = {
        "network": lambda row: f"`{row['model']}`",
        "kind": lambda row: THIRTY.get(row["model"], ""),
        "image_size": lambda row: str(row["side"]),
        "parameters": lambda row: f"{row['parameters'] / 1e6:.1f} M",
        "loss": lambda row: f"{row['loss']:.2f}",
        "val accuracy": lambda row: f"{row['accuracy']:.3f}",
        "seconds": lambda row: f"{row['seconds']:.1f}",
        "MiB": lambda row: f"{row['memory']:,}",
    }
    print(grid(Grid.of(rows, columns)), end="")
    return 1 if failed else 0
