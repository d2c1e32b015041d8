"""What a run can be told beside its matrices; none of it changes a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from classifier.basics.errors import UserError
from classifier.basics.place import Place, Workers
from classifier.plugins.brought import Brought
from experiments.execution.engines import EngineName, EngineOptions
from experiments.tracking import options as tracking

MOST_MINUTES = 30_000
"""Below what the system's longest wait takes."""

Devices = str | int | Iterable[str | int]
"""`auto`, `cpu`, or GPUs, counted within CUDA_VISIBLE_DEVICES: `0`, `0,1`, `[0, 1]`."""


def devices_of(given: Devices) -> tuple[str, ...]:
    """Each device by its name. Raises ValueError."""
    parts = given if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    text = ",".join(map(str, parts))
    devices = tuple(part.strip() for part in text.split(","))
    numbers = all(device.isdecimal() for device in devices)
    if devices not in (("auto",), ("cpu",)) and not numbers:
        raise ValueError(f"'{text}' is not auto, cpu or a list of GPUs as 0,1")
    if len(set(devices)) < len(devices):
        raise ValueError(f"'{text}' names a device twice")
    return devices


def _named(given: object) -> object:
    """An empty path would be the current folder, which nobody named."""
    if isinstance(given, str) and not given.strip():
        raise ValueError("nothing is named; the current folder is '.'")
    return given


def _as_text(given: object) -> object:
    return str(given) if isinstance(given, Path) else _named(given)


def one_or_more(given: object) -> object:
    """One alone is one, and not its letters."""
    return [given] if isinstance(given, str | Path) else given


def _no_truth(given: object) -> object:
    """Python takes True for 1, and so does NumPy."""
    if isinstance(given, bool) or str(getattr(given, "dtype", "")) == "bool":
        raise ValueError("not a number")
    return given


Number = BeforeValidator(_no_truth)
NamedPath = Annotated[Path, BeforeValidator(_named)]
Folders = Annotated[
    tuple[Annotated[str, BeforeValidator(_as_text)], ...], BeforeValidator(one_or_more)
]
Minutes = Annotated[float, Field(ge=0, le=MOST_MINUTES), Number]
Count = Annotated[int, Field(ge=0), Number]


class RunOptions(BaseModel):
    """By the names of runner.py's options, and of the arguments of `experiments.run`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: NamedPath = Path("runs")
    """Records and checkpoints."""
    also: Folders = ()
    """Runs folders whose finished records are used too, and only read."""
    reports: NamedPath = Path("reports")
    images: bool = True
    """Whether pictures of the data may be shown in the report."""
    engine: EngineName = "local"
    address: str | None = None
    """Of a Ray cluster."""
    devices: Annotated[tuple[str, ...], BeforeValidator(devices_of)] = ("auto",)
    jobs_per_device: Annotated[int, Field(ge=1), Number] | None = None
    workers: Annotated[Workers, Field(union_mode="left_to_right"), Number] = "auto"
    retries: Count = 1
    fail_fast: bool = False
    stall_minutes: Minutes = 30.0
    checkpoint_minutes: Minutes = 10.0
    keep_states: bool = False
    notify: str | None = None
    """A shell command."""
    tensorboard: NamedPath | None = None
    """A folder of event files."""
    mlflow: str | None = None
    """Where it tracks: `sqlite:///FILE`, or a server."""
    trust: bool = False
    """Run the matrix's plugins, and do not ask."""

    def engine_options(self, data_root: Path, plugins: tuple[Brought, ...] = ()) -> EngineOptions:
        """Where jobs run, and what is the same for all of them."""
        place = Place(
            data_root=data_root,
            runs=self.runs.absolute(),
            workers=self.workers,
            checkpoint_minutes=self.checkpoint_minutes,
            keep_states=self.keep_states,
            plugins=plugins,
        )
        return EngineOptions(
            place,
            name=self.engine,
            devices=self.devices,
            jobs_per_device=self.jobs_per_device,
            address=self.address,
            stall_minutes=self.stall_minutes,
        )


Arguments = TypeVar("Arguments", bound=BaseModel)


def read(kind: type[Arguments], given: Mapping[str, Any]) -> Arguments:
    """Arguments as they are used. Raises UserError for a value that one can't have."""
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{first['loc'][0]}={first['input']!r}: {said}") from error


def checked(**given: Any) -> RunOptions:
    """Raises UserError for a value that it can't have, and for those that don't go together."""
    options = read(RunOptions, given)
    if isinstance(options.workers, int) and options.workers < 0:
        raise UserError(f"workers={options.workers}: neither auto nor a number from 0 up")
    check_folder("runs", options.runs)
    check_folder("reports", options.reports)
    tracking.check(options.tensorboard, options.mlflow)
    options.engine_options(Path()).check()
    return options


def check_folder(name: str, folder: Path) -> None:
    """Raises UserError for one that is a file. `name`: of the option."""
    if folder.exists() and not folder.is_dir():
        flag = f"--{name.replace('_', '-')}"
        raise UserError(f"{flag} {folder} is a file, not a folder; name a folder")
