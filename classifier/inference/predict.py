"""Predict the classes of images from a checkpoint alone, without the training data."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
from classifier.data.images import images_in, is_image, open_file
from classifier.data.pillow import Pixel
from classifier.data.sides import centre_side, random_side
from classifier.data.transforms import centre_crop
from classifier.inference import cam as maps
from classifier.inference.evaluate import load_for_inference, ten_crop_batch
from classifier.inference.predictions import Answer, Predictions, Unread


@dataclass(frozen=True)
class Options:
    top_k: int = 5
    """Classes an image."""
    precision: Precision = "fp32"
    tta: bool = False
    """The mean over ten crops."""
    batch_size: int = 64
    device: torch.device | str = "cpu"
    cam: maps.Cam | None = None
    """Writes a picture of each image's centre crop under the map of its best class."""


def predict(
    checkpoint_file: Path,
    sources: Sequence[str | Path],
    options: Options = Options(),
    progress: OnCount = uncounted,
) -> Predictions:
    """The best classes of each image that `find(sources)` finds, in its order.

    A file that can't be read is `Unread` and stops no other. `progress` counts files. Raises
    UserError for what concerns all images.
    """
    if options.top_k < 1 or options.batch_size < 1:
        raise UserError("top-k and the batch size are 1 at least")
    if options.cam is not None:
        maps.check(options.cam.method)
    paths = find(sources)
    predictor = _Predictor(checkpoint_file, options)
    for start in range(0, len(paths), options.batch_size):
        end = min(start + options.batch_size, len(paths))
        predictor.add({position: paths[position] for position in range(start, end)})
        progress(end, len(paths))
    return Predictions(tuple(predictor.answers), tuple(predictor.unread))


class _Predictor:
    def __init__(self, checkpoint_file: Path, options: Options) -> None:
        self._options, self._mapper = options, None
        device = torch.device(options.device)
        self._inference, self._meta = load_for_inference(checkpoint_file, options.precision, device)
        self.answers: list[Answer] = []
        self.unread: list[Unread] = []
        if options.cam is not None:
            options.cam.folder.mkdir(parents=True, exist_ok=True)
            # Another network: the maps' hooks would keep every prediction's activations.
            full, meta = load_for_inference(checkpoint_file, "fp32", device)
            self._mapper = maps.Mapper(
                full.network, options.cam.method, meta.image_size, full.normalize
            )

    def add(self, batch: Mapping[int, Path]) -> None:
        """Predict a batch of files, by their position among all."""
        size, tta = self._meta.image_size, self._options.tta
        centre = centre_side(size, self._meta.eval_crop)
        side = random_side(size) if tta and self._meta.eval_crop is None else centre
        # A photo is kept at the size of its crops only: a batch of whole ones would fill gigabytes.
        images: dict[int, Pixel] = {}
        crops: dict[int, Pixel] = {}
        for position, path in batch.items():
            try:
                whole = open_file(path)
            except UserError as error:
                self.unread.append(Unread(str(path), str(error)))
                continue
            images[position] = _pixels(whole, side)
            if self._mapper is not None:
                crops[position] = centre_crop(_pixels(whole, centre), size)
        if not images:
            return
        if tta:
            logits = ten_crop_batch(self._inference, list(images.values()), size)
        else:
            centres = np.stack([centre_crop(image, size) for image in images.values()])
            logits = self._inference(torch.from_numpy(centres)).cpu()
        for position, of_image in zip(images, logits.softmax(dim=1), strict=True):
            path = batch[position]
            if of_image.isfinite().all():
                self.answers.append(self._answer(position, path, of_image, crops.get(position)))
            else:
                reason = f"its scores are not finite in {self._options.precision}"
                self.unread.append(Unread(str(path), reason))

    def _answer(self, position: int, path: Path, scores: Tensor, crop: Pixel | None) -> Answer:
        ranked = scores.sort(descending=True, stable=True)
        best = ranked.indices[: self._options.top_k].tolist()
        picture = None
        if self._options.cam is not None and self._mapper is not None and crop is not None:
            # Numbered, for folders may hold files of one name; cut, for names have a limit.
            picture = self._options.cam.folder / f"{position:05d}-{path.stem[:40]}.png"
            self._mapper.overlay(crop, best[0]).save(picture)
        names = tuple(self._meta.classes[label] for label in best)
        return Answer(str(path), names, tuple(ranked.values[: len(best)].tolist()), picture)


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
        yield from images_in(path)
    elif path.exists():  # before globs: names may have brackets
        yield path
    else:
        matches = sorted(glob.glob(str(source), recursive=True))  # noqa: PTH207 - absolute too
        for match in map(Path, matches):
            if match.is_dir():
                yield from images_in(match)
            elif is_image(match):
                yield match


def _pixels(image: Image.Image, short_side: int) -> Pixel:
    return np.asarray(resize(image, short_side))
