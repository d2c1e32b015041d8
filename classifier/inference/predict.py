"""Predict the classes of images from a checkpoint alone, without the training data."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import resize

from classifier.basics.errors import UserError
from classifier.basics.names import printable
from classifier.basics.progress import OnCount, uncounted
from classifier.config.spec import Precision
from classifier.data.images import IMAGE_SUFFIXES, open_file
from classifier.data.transforms import Pixel, centre_crop
from classifier.inference import cam as maps
from classifier.inference.evaluate import (
    Inference,
    load_for_inference,
    ten_crop_batch,
    ten_crop_side,
)
from classifier.inference.predictions import Answer, Predictions, Unread


def predict(
    checkpoint_file: Path,
    sources: Sequence[str | Path],
    *,
    top_k: int = 5,
    precision: Precision = "fp32",
    tta: bool = False,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    cam: maps.Cam | None = None,
    progress: OnCount = uncounted,
) -> Predictions:
    """The `top_k` classes of each image that `find(sources)` finds, in its order.

    A file that can't be read becomes a failure and stops no other. `tta` is the mean over ten
    crops; `cam` writes a picture of each image's centre crop under the map of its best class.
    `progress` gets files done and files in all. Raises UserError for what concerns all images.
    """
    if top_k < 1 or batch_size < 1:
        raise UserError("top-k and the batch size are 1 at least")
    if cam is not None:
        maps.check(cam.method)
    paths = find(sources)
    inference, meta = load_for_inference(checkpoint_file, precision, torch.device(device))
    side = ten_crop_side(meta.image_size) if tta else meta.image_size
    mapper = None
    if cam is not None:
        cam.folder.mkdir(parents=True, exist_ok=True)
        # Another network: the maps' hooks would keep every prediction's activations.
        full, _ = load_for_inference(checkpoint_file, "fp32", inference.device)
        mapper = maps.Mapper(full.network, cam.method, meta.image_size, full.normalize)

    answers: list[Answer] = []
    failures: list[Unread] = []
    for start in range(0, len(paths), batch_size):
        batch = range(start, min(start + batch_size, len(paths)))
        # A photo is kept at the size of its crops only: a batch of whole ones would fill gigabytes.
        images: dict[int, Pixel] = {}
        crops: dict[int, Pixel] = {}
        for position in batch:
            try:
                whole = open_file(paths[position])
            except UserError as error:
                failures.append(Unread(str(paths[position]), str(error)))
                continue
            images[position] = _pixels(whole, side)
            if mapper is not None:
                crops[position] = centre_crop(_pixels(whole, meta.image_size), meta.image_size)
        pixels = list(images.values())
        scores = _scores(inference, pixels, meta.image_size, tta)
        for position, of_image in zip(images, scores, strict=True):
            path = paths[position]
            if not of_image.isfinite().all():
                failures.append(Unread(str(path), f"its scores are not finite in {precision}"))
                continue
            ranked = of_image.sort(descending=True, stable=True)
            best = ranked.indices[:top_k].tolist()
            picture = None
            if cam is not None and mapper is not None:
                picture = cam.folder / _picture_name(position, path)
                mapper.overlay(crops[position], best[0]).save(picture)
            names = tuple(meta.classes[label] for label in best)
            answers.append(Answer(str(path), names, tuple(ranked.values[:top_k].tolist()), picture))
        progress(batch.stop, len(paths))
    return Predictions(tuple(answers), tuple(failures))


def find(sources: Sequence[str | Path]) -> list[Path]:
    """The files that the sources mean, each once: a file itself, whatever its suffix; a folder's
    images at any depth; a glob's images and folders (`**` is any depth).

    Raises UserError, naming it, for a source without an image.
    """
    images: dict[Path, None] = {}
    for source in sources:
        if not str(source):  # Path("") would be the folder where we are
            raise UserError("a source is empty: name a file, a folder or a glob")
        paths = list(_of_source(source))
        if not paths:
            there = Path(source).is_dir()
            problem = "holds no image" if there else "is no file, no folder and no glob of images"
            raise UserError(f"{printable(str(source))} {problem}")
        images.update(dict.fromkeys(paths))
    return list(images)


def _of_source(source: str | Path) -> Iterator[Path]:
    path = Path(source)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.exists():  # before globs: names may have brackets
        yield path
    else:
        for match in sorted(glob.glob(str(source), recursive=True)):  # noqa: PTH207 - absolute too
            if Path(match).is_dir():
                yield from _in_folder(Path(match))
            elif _is_image(match):
                yield Path(match)


def _in_folder(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        yield from (Path(parent, file) for file in sorted(files) if _is_image(file))


def _is_image(file: str) -> bool:
    return Path(file).suffix.lower() in IMAGE_SUFFIXES


def _pixels(image: Image.Image, short_side: int) -> Pixel:
    return np.asarray(resize(image, short_side))


def _scores(inference: Inference, images: Sequence[Pixel], size: int, tta: bool) -> Tensor:
    """Softmax scores (N, C) on the CPU of images at the size that their crops are taken from."""
    if not images:
        return torch.empty(0)
    if tta:
        logits = ten_crop_batch(inference, images, size)
    else:
        crops = np.stack([centre_crop(image, size) for image in images])
        logits = inference(torch.from_numpy(crops)).cpu()
    return logits.softmax(dim=1)


def _picture_name(position: int, path: Path) -> str:
    """Numbered, because folders may hold files of one name; cut, because names have a limit."""
    return f"{position:05d}-{path.stem[:40]}.png"
