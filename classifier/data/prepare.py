"""Data made ready before anything runs, with what there is to say about it. No torch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from classifier.basics.console import Counted, Transfer
from classifier.basics.errors import UserError
from classifier.basics.names import below, counted, printable
from classifier.data import datasets
from classifier.data.datasets import Listing
from classifier.data.spec import DataSpec

_log = logging.getLogger(__name__)

MOST_NAMED = 5


def prepare(data: DataSpec, root: Path) -> Listing:
    """Fetch what is not there and can be fetched, check the rest, name the images left out and
    those that are in more than one part.

    Raises UserError where the data set can't be used.
    """
    data.source.fetch(root, Transfer())
    listed = datasets.listing(data, root, Counted("looking at images"))
    is_first = not data.fold  # the other folds have the same images
    if is_first:
        _check_images(data, root, listed)
    shared = datasets.shared(data, root, listed, Counted("comparing images"))
    if shared and (is_first or data.duplicates == "error"):
        _say_shared(data, listed, shared)
    return listed


def prepare_other(data: DataSpec, root: Path, classes: Sequence[str], own: DataSpec) -> Listing:
    """As `prepare`, for data that a network which knows `classes` is tried on; `own`: what it was
    trained on."""
    data.source.fetch(root, Transfer())
    listed = datasets.other(data, root, classes, Counted("looking at images"))
    _check_images(data, root, listed)
    trained = datasets.also_trained(data, listed, own, root)
    if trained:
        number, named = counted(len(trained), "image"), some(trained)
        said = f"{data.as_test}: {number} of train or val of {own.title} among them: {named}"
        _log.warning("%s", said)
    return listed


def _check_images(data: DataSpec, root: Path, listed: Listing) -> None:
    if listed.skipped:
        number = counted(len(listed.skipped), "image")
        _log.warning("left out, for they can't be read: %s: %s", number, some(listed.skipped))
    if data.on_bad_image == "skip":
        return  # the others were looked at for it
    bad = datasets.unreadable(data, root, listed.paths, Counted("looking at images"))
    if bad:
        folder = data.source.folder(root) or root
        raise datasets.refused({str(folder / p): why for p, why in bad.items()}, len(listed.paths))


def some(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The first few of them."""
    more = ", ..." if len(names) > most else ""
    return ", ".join(map(printable, names[:most])) + more


def _say_shared(data: DataSpec, listed: Listing, shared: Sequence[Sequence[str]]) -> None:
    """Raises UserError where they are refused."""
    kind = "equal" if data.similar is None else "similar"
    said = f"{data.title} has {counted(len(shared), 'set')} of {kind} images in more than one part"
    part_of = dict(zip(listed.paths, listed.parts, strict=True))
    named = [" = ".join(f"{printable(p)} ({part_of[p]})" for p in paths) for paths in shared]
    if data.duplicates == "error":
        advice = "remove all but one of each"
        if data.split != "given":
            advice += ", or set 'duplicates: together' to have them in one part"
        raise UserError(f"{said}; {advice}:{below(named, datasets.MOST_NAMED)}")
    _log.warning("%s: %s", said, some(named))
