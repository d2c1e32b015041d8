"""What a page is about, in a line: the data and their counts, models, seeds, epochs, devices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from classifier.basics.names import counted
from classifier.config.spec import BenchmarkSpec
from classifier.data.spec import DataSpec
from classifier.data.split import PARTS
from classifier.records.record import BenchmarkRecord, Data, EvaluateRecord, MetricRecord
from reports.figures.select import Selection

FEW = 2
"""Names are told up to so many of them, else their number."""
MOST_SETS = 4
"""Data sets that are told with their counts."""


def facts(selection: Selection) -> list[str]:
    """What the matrix asks for; the counts of images and the devices are those of its records."""
    requests = list(selection.matrix.requests())
    trainings = [request.training for request in requests if request.training]
    timed = [request.spec for request in requests if isinstance(request.spec, BenchmarkSpec)]
    said = _data(selection)
    models = [*(each.model for each in trainings), *(each.model for each in timed)]
    said.append(_some(models, "model"))
    if trainings:
        said.append(counted(len(selection.matrix.seeds), "seed"))
        epochs = sorted({each.epochs for each in trainings})
        most = counted(epochs[-1], "epoch")
        said.append(most if len(epochs) == 1 else f"{epochs[0]:,} to {most}")
    devices = (used.record.environment.device for used in selection.used)
    return [each for each in (*said, _some(devices, "device")) if each]


def _data(selection: Selection) -> list[str]:
    """A part of the line for each set, or how many there are."""
    names = selection.titles
    if len(names) > MOST_SETS:
        return [counted(len(names), "data set")]
    seen: dict[DataSpec, dict[DataSpec, dict[tuple[object, ...], Data]]]
    seen = {data: {} for data in names}
    for trained_on, data in _seen(selection):
        seen[trained_on.whole].setdefault(trained_on, {})[data.contents] = data
    return [_counts(data, name, seen[data]) for data, name in names.items()]


def _counts(
    data: DataSpec, name: str, seen: Mapping[DataSpec, Mapping[tuple[object, ...], Data]]
) -> str:
    """`seen`: by fold."""
    found = [next(iter(of_fold.values())) for of_fold in seen.values()]
    if not found:
        return name
    is_one = len({each.fingerprint for each in found}) == 1
    if not is_one or any(len(of_fold) > 1 for of_fold in seen.values()):
        return f"{name} (its images differ between records)"
    first, classes = found[0], f"{found[0].classes:,} classes"
    if data.folds is not None:
        images = first.train + first.val + first.test
        return f"{name}: {images:,} images in {data.folds} folds, {classes}"
    images_of_parts = " / ".join(f"{getattr(first, part):,} {part}" for part in PARTS)
    return f"{name}: {images_of_parts} images, {classes}"


def _seen(selection: Selection) -> Iterator[tuple[DataSpec, Data]]:
    """What records were trained on; other data to test on are not meant."""
    for record in (used.record for used in selection.used):
        of = record.evaluation if isinstance(record, MetricRecord) else record
        is_other = isinstance(of, EvaluateRecord) and of.spec.data is not None
        if not isinstance(of, BenchmarkRecord) and not is_other:
            yield selection.is_on(of), of.data


def _some(names: Iterable[str], noun: str) -> str:
    """The names where they are few, else how many there are."""
    different = list(dict.fromkeys(names))
    return ", ".join(different) if len(different) <= FEW else counted(len(different), noun)
