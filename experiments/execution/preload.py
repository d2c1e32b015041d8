"""What the fork server imports once, so that a job starts in hundredths of a second."""

# ruff: noqa: E402
import atexit
import gc
import os
import signal

# First, and in a room whose own import takes no time: the imports take seconds, and Ctrl-C in a
# terminal, or its end, reaches the server too. It ends with the runner, which is to heed them.
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)

gc.disable()  # no module is garbage, and to look for some takes a third of the time

import timm
import torch
import torchvision

import classifier.job

gc.freeze()  # nor does a job's collector look at them, whose pages it would have to copy
gc.enable()

# It has nothing to leave. To take torch apart takes a second, in which it holds the runner's output
# open, and who reads that waits.
atexit.register(os._exit, 0)

__all__ = ["classifier", "timm", "torch", "torchvision"]
