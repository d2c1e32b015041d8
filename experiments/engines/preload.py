"""What the fork server imports once, so that a job starts in hundredths of a second."""

import sklearn.datasets
import timm
import torch
import torchvision

import classifier.job

__all__ = ["classifier", "sklearn", "timm", "torch", "torchvision"]
