"""A matrix as checked data: its tables, and for each cell the records that it needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifier.basics.errors import UserError
from classifier.basics.settings import Weights
from classifier.config.explanations import text
from classifier.config.spec import EvaluateSpec, MetricSpec, Spec, TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data.spec import DataSpec, called
from classifier.plugins.brought import Brought
from classifier.records.record import unit_of
from classifier.tricks.distillation import Distill
from experiments.matrix.arms import Arm
from experiments.matrix.schema import Column, Spread


@dataclass(frozen=True)
class Request:
    """One record that a cell needs."""

    spec: Spec
    track: Track = RAW
    """Of the training that it is or that it evaluates."""
    teacher: TrainSpec | None = None
    """What the training learns from, if it is distilled."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """The axis values of the arm that asks for it; of a speed those that all its arms share."""

    @property
    def training(self) -> TrainSpec | None:
        return self.spec.trained

    @property
    def looked_at(self) -> DataSpec | None:
        """Whose images its figure is of, all folds together; None of a speed."""
        spec = self.spec.evaluation if isinstance(self.spec, MetricSpec) else self.spec
        if isinstance(spec, EvaluateSpec) and spec.data is not None:
            return spec.data
        return spec.trained.data.whole if spec.trained else None

    @property
    def unit(self) -> str | None:
        """The record's name under the signature; None for a speed: each device has its own."""
        return unit_of(self.spec, self.track)


def share_images(data: Iterable[DataSpec]) -> bool:
    """Whether some of them are other draws of one set, whose images they have in common."""
    each = set(data)
    places = {(of.name, of.folder, of.own, of.hf.name if of.hf else None) for of in each}
    return len(places) < len(each)


def names_of(axis: str, values: Sequence[Any]) -> list[str]:
    """What an axis's values are called: text as it is, data sets by their names, all else as
    JSON."""
    if axis == "data":
        return called(values)
    return [value if isinstance(value, str) else text(value) for value in values]


@dataclass(frozen=True)
class Form:
    """How a cell's figure is written."""

    digits: int
    """Decimals."""
    percent: bool = False
    spread: Spread | None = None
    is_difference: bool = False
    """Of a cell with a baseline: the difference to it stands in place of the figure."""
    is_hidden: bool = False


@dataclass(frozen=True)
class Table:
    name: str
    row_header: str
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[tuple[Request, ...], ...], ...]
    """By row, then column: a request for each seed, or for each fold of each seed."""
    baseline: Mapping[tuple[int, int], tuple[int, int]]
    """The cell (row, column) that a cell is compared with."""
    published: Mapping[tuple[str, str], float]
    """By row and header."""
    margins: tuple[float | None, ...]
    """By column: differences closer to 0 do not matter; None where nothing counts as the same."""
    forms: tuple[Form, ...]
    """By column."""
    hidden_rows: frozenset[int]


@dataclass(frozen=True)
class Matrix:
    name: str
    """The report's folder: the file's name, with a mark for each kind of override."""
    title: str
    source: Path
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    overrides: Mapping[str, Any]
    plugins: Brought
    """The user's files; none, if it names none."""
    data_at: Mapping[DataSpec, str] = field(default_factory=dict)
    """The file and line of what its arms are trained on."""
    data_root: Path = Path("data")
    """Where its data lie."""

    @property
    def data(self) -> tuple[DataSpec, ...]:
        """What its arms are trained on, each once."""
        return tuple(dict.fromkeys(arm.data for arm in self.arms))

    @property
    def label(self) -> str:
        """The file with its folder, the same from wherever it is run; of a link its own."""
        return "/".join((self.source.parent.resolve() / self.source.name).parts[-2:])

    @property
    def uses_data_root(self) -> bool:
        """Whether anything of it lies there: images, or files of weights."""
        return any(
            (request.looked_at and request.looked_at.source.folder(self.data_root))
            or any(map(_has_file, filter(None, (request.training, request.teacher))))
            for request in self.requests()
        )

    def requests(self) -> Iterator[Request]:
        for table in self.tables:
            for row in table.cells:
                for cell in row:
                    yield from cell


def _has_file(spec: TrainSpec) -> bool:
    """Whether it starts from weights of a file, or learns from such."""
    distill = spec.trick(Distill)
    return spec.weights is not None or isinstance(distill and distill.teacher, Weights)


def data_root_of(matrices: Sequence[Matrix]) -> Path:
    """Of them all, or of those that use it. Raises UserError where they have several, or where
    there is no matrix."""
    if not matrices:
        raise UserError("a matrix is expected")
    roots = {matrix.data_root.resolve(): matrix for matrix in matrices if matrix.uses_data_root}
    if len(roots) > 1:
        said = " and ".join(f"{each.source}: {each.data_root}" for each in roots.values())
        raise UserError(f"these matrices have several data roots ({said}); name one: --data-root")
    return next(iter(roots.values()), matrices[0]).data_root
