"""One decoded copy: the images of a part, resized once, as a memory-mapped file of bytes.

All jobs of all matrices share it. Decoding and resizing are nearly all of an image's cost, and
they are the same in every epoch of every arm.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from filelock import FileLock
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torchvision.transforms.functional import resize

from classifier.basics.files import explain, sync_folder
from classifier.basics.progress import OnCount, uncounted
from classifier.data.datasets import Listing, refused
from classifier.data.images import BadImageError
from classifier.data.pixels import Pixels, kept_in
from classifier.data.spec import DataSpec
from classifier.data.split import Part


def pixels(
    data: DataSpec,
    root: Path,
    listed: Listing,
    part: Part,
    short_side: int,
    fingerprint: str,
    progress: OnCount = uncounted,
) -> Pixels:
    """The images of `part`, in the listing's order; made on first use, by one process at a time."""
    paths = [listed.paths[index] for index in listed.indices(part)]
    folder = kept_in(data, part, short_side, fingerprint, paths)
    with FileLock(f"{folder}.lock"):
        try:
            return Pixels(folder)
        except (OSError, ValueError, EOFError):  # not there, or damaged: it is made again
            shutil.rmtree(folder, ignore_errors=True)
        _make(folder, data, root, paths, short_side, progress)
        return Pixels(folder)


def _make(
    folder: Path,
    data: DataSpec,
    root: Path,
    paths: list[str],
    short_side: int,
    progress: OnCount,
) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        decode = delayed(_decode)
        decoded = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
            decode(data, root, path, short_side) for path in paths
        )
        shapes: list[tuple[int, ...]] = []
        bad: list[BadImageError] = []
        size = 0
        try:
            with (temporary / "pixels.u8").open("wb") as file:
                for done, image in enumerate(decoded, start=1):
                    if isinstance(image, BadImageError):
                        bad.append(image)
                    else:
                        size += file.write(image.tobytes())
                        shapes.append(image.shape[:2])
                    progress(done, len(paths))
                if bad:
                    raise refused({str(error.file): error.reason for error in bad}, len(paths))
                file.flush()
                os.fsync(file.fileno())
            with (temporary / "shapes.npy").open("wb") as file:
                np.save(file, np.array(shapes, np.int64))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise explain(error, folder, size * len(paths) // max(len(shapes), 1)) from error
        temporary.rename(folder)
        sync_folder(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _decode(
    data: DataSpec, root: Path, path: str, short_side: int
) -> NDArray[np.uint8] | BadImageError:
    """The resized image, or what is wrong with it: all the bad ones are to be named, not one."""
    try:
        return np.asarray(resize(data.source.open(root, path), short_side))
    except BadImageError as error:
        return error
