"""What a matrix file may say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import chain
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from classifier.basics.settings import Settings, named
from classifier.config.document import Document
from classifier.config.explanations import as_written, explain, main_detail
from classifier.config.spec import ArmSettings, Precision
from classifier.data.spec import DataSpec
from classifier.data.split import Part
from classifier.plugins.spec import UserMetric
from classifier.records.record import Record

Margin = Annotated[float, Field(gt=0, lt=1)]
"""Differences of shares of images that are closer to 0 do not matter."""
MARGIN: Margin = 0.005


Costs = Literal[
    "parameters", "gflops", "checkpoint_mib", "train_seconds", "images_seen", "peak_memory_mib"
]
"""What a model costs: figures of its training."""
Metric = Literal[
    "accuracy", "mpa", "top5", "nll", "kappa", "f1", "precision", "recall", "auc", "ece",
    "worst_class", "fps", "images_per_second", Costs,
]  # fmt: skip
METRICS: tuple[str, ...] = tuple(
    chain.from_iterable(get_args(part) or (part,) for part in get_args(Metric))
)
NO_INTERVAL = ("ece", "worst_class")
"""Metrics whose intervals would not hold, see docs/statistics.md."""
COSTS: tuple[str, ...] = get_args(Costs)
DIGITS = {
    "fps": 2,
    "images_per_second": 2,
    "parameters": 0,
    "gflops": 3,
    "checkpoint_mib": 2,
    "train_seconds": 1,
    "images_seen": 0,
    "peak_memory_mib": 0,
}
"""Decimals of a metric's figures; of others 5."""


Spread = Literal["deviation", "interval"]


class FormSettings(Settings):
    """How a column's figures are written, and those of a table's columns that do not say."""

    digits: int | None = Field(None, ge=0, le=10)
    """Decimals."""
    percent: bool | None = None
    """97.22 in place of 0.97222."""
    spread: Literal[Spread, "none"] | None = None
    """`deviation`: of the seeds; `interval`: of 95 %."""


class Column(FormSettings):
    header: str = Field(min_length=1, pattern=r"^[^|\r\n]+$")
    own: UserMetric | None = None
    """What `metric` names, where it is the user's."""
    metric: str = "accuracy"
    """A `Metric`, or the user's."""
    stage: Literal["train", "test"] = "test"
    """`train`: val accuracy while training, of the best epoch."""
    split: Part | None = None
    """Whose images it is about; `train` is centre-cropped like the others."""
    precision: Precision | None = None
    """Unset: `fp32`."""
    tta: bool = False
    """Ten crops."""
    batch_size: int | None = Field(None, ge=1)
    """For speeds; unset: 64."""
    data: Annotated[DataSpec | None, BeforeValidator(named)] = None
    """Other data than the training's: all of its images, or its test part if its split is given."""
    where: dict[str, Any] = Field(default_factory=dict)
    """The axis values that choose the arm; of named runs `{run: NAME}`."""
    against: str | None = None
    """The header of the column that this one is compared with, row by row."""
    margin: Margin | None = None
    """In place of the table's."""
    show: Literal["figure", "difference"] = "figure"
    """`difference`: the figure minus its baseline's."""
    hide: bool = False
    """It is computed and compared, and not in the table that is shown."""

    @property
    def is_speed(self) -> bool:
        return self.metric in ("fps", "images_per_second")

    @property
    def is_cost(self) -> bool:
        """Whether it is of a training, and has no verdict."""
        return self.metric in COSTS

    @property
    def is_whole_number(self) -> bool:
        """Whether a seed's figures are."""
        return DIGITS.get(self.metric) == 0

    @property
    def is_of_all_tracks(self) -> bool:
        """Whether the tracks that one training carries share it."""
        return self.metric in ("train_seconds", "peak_memory_mib")

    @property
    def part(self) -> Part:
        """Whose images it is about; a training is judged on val."""
        return "test" if self.data else self.split or "val"

    @property
    def images(self) -> str:
        """The same, with other data by their name."""
        return self.data.as_test if self.data else self.part

    @property
    def more_is_better(self) -> bool | None:
        """None where neither is better."""
        if self.own:
            return self.own.better == "more"
        if self.metric == "images_seen":
            return None
        return self.metric not in ("nll", "ece") and not self.is_cost

    def figure(self, record: Record) -> float:
        """What a record says of a metric that `is_recorded`: a field has its name."""
        figure: float = getattr(record, self.metric)
        return figure

    @property
    def is_share(self) -> bool:
        """Whether it is a share of images, or made of classes' shares on the scale of one."""
        shares = ("accuracy", "mpa", "top5", "f1", "precision", "recall", "worst_class")
        return self.metric in shares

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The smallest and the largest value there is, if it has both."""
        if self.metric == "kappa":
            return -1.0, 1.0
        return (0.0, 1.0) if self.is_share or self.metric in ("auc", "ece") else None

    @property
    def is_recorded(self) -> bool:
        """Whether a record says it; the others take an evaluation's predictions."""
        return self.metric in ("accuracy", "mpa", "fps", "images_per_second")

    @property
    def measure(self) -> tuple[object, ...]:
        """All that a column says except its header and its arm."""
        split = self.split if self.is_speed or self.stage == "test" else "val"
        precision, batch_size = self.precision or "fp32", self.batch_size or 64
        return (
            self.metric,
            self.own,
            self.stage,
            split,
            precision,
            self.tta,
            batch_size,
            self.data,
        )

    @field_validator("metric", mode="before")
    @classmethod
    def _known(cls, name: object, others: ValidationInfo) -> object:
        """Refuses other names as a Literal would."""
        own: UserMetric | None = others.data.get("own")
        if isinstance(name, str) and name not in (*METRICS, own and own.name):
            raise PydanticKnownError("literal_error", {"expected": " or ".join(map(repr, METRICS))})
        return name

    @model_validator(mode="after")
    def _makes_sense(self) -> Column:
        self._check_form()
        if self.is_speed:
            if self.split or self.stage == "train" or self.tta or self.data:
                raise ValueError(f"metric '{self.metric}' takes no split, stage, data or tta")
            if self.margin:
                raise ValueError(f"metric '{self.metric}' takes no margin: it is for shares")
            return self
        if self.is_cost:
            self._check_cost()
            return self
        if self.batch_size is not None:
            raise ValueError("'batch_size' is for metric fps or images_per_second")
        if self.stage == "train" and (
            self.split not in (None, "val") or self.precision or self.tta
        ):
            raise ValueError(
                "stage 'train' is val accuracy while training: no split, no precision, no tta"
            )
        if self.stage == "train" and not self.is_recorded:
            raise ValueError(
                f"stage 'train' keeps no predictions, which metric '{self.metric}' takes; take "
                "'split: val'"
            )
        if self.data and (self.split or self.stage == "train"):
            raise ValueError(
                "'data' of a column is looked at as a whole (its test/ if its split is given): "
                "leave out split and stage"
            )
        if self.data:
            self._check_data(self.data)
        if self.stage == "test" and self.split is None and self.data is None:
            raise ValueError("a column needs 'split' (train, val or test), or 'stage: train'")
        return self

    def _check_form(self) -> None:
        if self.percent and not self.is_share:
            raise ValueError(f"metric '{self.metric}' takes no percent: it is no share of images")
        if self.spread in ("deviation", "interval") and self.is_speed:
            raise ValueError(f"metric '{self.metric}' takes no spread: the seeds share one speed")
        if self.spread == "interval" and (self.is_cost or self.metric in NO_INTERVAL):
            raise ValueError(f"metric '{self.metric}' has no interval; take 'spread: deviation'")
        if self.margin and self.metric in NO_INTERVAL:
            raise ValueError(f"metric '{self.metric}' gets no verdict, so it takes no margin")

    def _check_cost(self) -> None:
        taken = {"split", "precision", "tta", "stage", "batch_size"} & self.model_fields_set
        if taken:
            raise ValueError(
                f"metric '{self.metric}' is of the training: it takes no split, no precision, no "
                "tta, no stage and no batch_size"
            )
        if self.margin:
            raise ValueError(f"metric '{self.metric}' gets no verdict, so it takes no margin")
        if self.against and self.show == "figure":
            raise ValueError(
                f"metric '{self.metric}' gets no verdict, so 'against' is for 'show: difference'"
            )

    def _check_data(self, data: DataSpec) -> None:
        idle = {"group", "duplicates", "similar", "folds"} & data.model_fields_set
        idle |= {"split"} & data.model_fields_set if data.split != "given" else set()
        idle |= set() if data.limit else {"split_seed"} & data.model_fields_set
        if idle:
            named = " and ".join(f"'{name}'" for name in sorted(idle))
            raise ValueError(f"{named}: for data that are split; a column's are not")


class Row(Settings):
    name: str = Field(min_length=1, pattern=r"^[^|\r\n]+$")
    where: dict[str, Any]
    baseline: str | None = None
    """The name of the row that this one is compared with."""
    hide: bool = False
    """As of a column."""


class TableSettings(FormSettings):
    rows: str | list[Row]
    """An axis, `runs`, or a list of conditions with names."""
    columns: list[Column] = Field(min_length=1)
    where: dict[str, Any] = Field(default_factory=dict)
    """Axis values that hold for all cells."""
    baseline: dict[str, Any] = Field(default_factory=dict)
    """Axis values: each cell is compared with the one that differs in these only."""
    margin: Margin | None = None
    """Differences of accuracies closer to 0 do not matter; unset: 0.005."""
    published: str | None = None
    """A CSV beside the matrix: the row's name first, then a figure under each header."""


class Benchmark(Settings):
    seconds: float = Field(30.0, gt=0, allow_inf_nan=False)


class Trained(Settings):
    """What an arm is trained on, whole."""

    data: Annotated[DataSpec, BeforeValidator(named)]


class File(Settings):
    """The top level of a matrix file."""

    title: str = Field(min_length=1, pattern=r"^[^\r\n]+$")
    """The report's."""
    data: Any = None
    """What is trained on, unless it is an axis; arms may put keys into it, and are checked each
    with theirs."""
    data_root: str | None = Field(None, min_length=1, pattern=r"^[^\x00]+$")
    """The folder that a `folder` of `data` lies in, by its path from the matrix's own, in which it
    is; --data-root goes before it. Unset: `data` where the command is given."""
    plugins: list[str] = Field(default_factory=list)
    """The user's files, by their paths from the matrix's folder."""
    train: dict[str, Any] = Field(default_factory=dict)
    """The settings that all arms share."""
    matrix: dict[str, Any] | None = None
    """Axes, which are multiplied into arms: lists of values, by the setting's name or its path, as
    `optimizer.weight_decay`. In place of `runs`."""
    runs: Annotated[dict[str, dict[str, Any]], Field(min_length=1)] | None = None
    """Arms by their names, each with its own settings, in place of `matrix`."""
    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field([0], min_length=1)
    """Every arm is trained once with each."""
    benchmark: Benchmark = Benchmark()
    """What bounds the measuring of speeds."""
    tables: dict[str, TableSettings] = Field(min_length=1)
    """What is shown, by the names of their files."""


def read(document: Document, own: Mapping[str, Collection[str]]) -> File:
    """The checked content of a matrix file. Raises UserError with the place of what is wrong.
    `own`: by setting, the names that the user's files add."""
    try:
        return File.model_validate(document.data)
    except ValidationError as error:
        detail = main_detail(error)
        where = as_written(detail["loc"])
        name = where[-1]
        if (
            detail["type"] == "extra_forbidden"
            and len(where) == 1
            and name in ArmSettings.model_fields
        ):
            message = f"unknown setting '{name}'; did you mean 'train.{name}'?"
            raise document.error(where, message) from error
        raise explain(error, document, where, File, ("own",), own) from error
