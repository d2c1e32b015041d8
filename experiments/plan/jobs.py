"""The unique jobs of all matrices together, and what each needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from classifier.config.explanations import text
from classifier.config.family import apart
from classifier.config.spec import EVERY_TRICK, MetricSpec, Spec, TrainSpec
from classifier.config.tracks import RAW, Track
from classifier.data.spec import PLACES, as_flat, called
from classifier.records.record import unit_of
from experiments.matrix.model import Request

JobState = Literal["done", "todo", "running", "failed", "blocked"]


@dataclass(frozen=True)
class Estimate:
    """What a job would take. `gflop` comes from the catalogue; `seconds` from records of this
    device, or for a benchmark from its own bound."""

    gflop: float | None = None
    seconds: float | None = None
    basis: Literal["table", "records"] | None = None


@dataclass(frozen=True)
class Job:
    spec: Spec
    tracks: tuple[Track, ...] = ()
    """Of a training: those that it carries."""
    needs: tuple[str, ...] = ()
    """The ids of the jobs that come before."""
    state: JobState = "todo"
    reason: str = ""
    lender: str = ""
    """The other runs folder that it is done in, if it is not done in one's own."""
    lacks_a_track: bool = False
    """It was trained, and is to be trained again for a further track only: what it has is as good
    as before."""
    estimate: Estimate = Estimate()
    label: str = ""
    """What tells it apart from jobs of the same model and seed, for people."""

    course: str = ""
    """Of a training that is to do: in which other it is trained, or where it goes on from."""
    begun: float = 0.0
    """The share of it that its kept state has done: its estimate is of the rest."""
    took: float | None = None
    """Seconds, of a job that is done, where that was on such a device."""
    reached: float = 1.0
    """At which share of its epochs a training that is done ended."""
    keeps_end: bool = False
    """Of a training: its matrix has more `epochs` than one, so one of more may be asked for next,
    which goes on from its last state."""

    @property
    def id(self) -> str:
        return self.spec.signature

    @property
    def trained(self) -> TrainSpec:
        """Of a job that is, or takes, a training."""
        spec = self.spec.trained
        assert spec is not None
        return spec

    @property
    def is_speed(self) -> bool:
        """It has its device to itself, with all the threads, and comes after all others."""
        return self.spec.kind == "benchmark"

    @property
    def keeps_state(self) -> bool:
        """Asked to stop, it keeps what it has reached; others begin anew."""
        return self.spec.kind == "train"

    @property
    def units(self) -> list[str]:
        """What it publishes; of a speed none that is known before."""
        units = [unit_of(self.spec, track) for track in self.tracks or (RAW,)]
        return [unit for unit in units if unit is not None]

    @property
    def name(self) -> str:
        run = self.spec.run
        whole = run.slug + (f" ({self.label})" if self.label else "")
        return whole if run is self.spec else f"{whole} {self.spec.slug}"

    @property
    def told(self) -> str:
        """Why it is in its state, and what is to come, for people."""
        return "; ".join(filter(None, (self.reason, self.course)))

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "kind": self.spec.kind,
            "state": self.state,
            "reason": self.told or None,
            "needs": list(self.needs),
            "cost": {
                "gflop": self.estimate.gflop,
                "seconds": self.estimate.seconds,
                "basis": self.estimate.basis,
            },
            "settings": self.spec.told(),
        }


def unique(requests: Iterable[Request]) -> list[Job]:
    """Trainings, each with the union of the tracks asked for, then evaluations, then what the
    user's metrics say of these, then benchmarks."""
    trainings: dict[str, TrainSpec] = {}
    tracks: dict[str, dict[str, Track]] = {}
    others: dict[str, Spec] = {}
    teachers: dict[str, str] = {}
    labels: dict[str, dict[str, str]] = {}
    grows: set[str] = set()
    for request in requests:
        training, teacher = request.spec.trained, request.teacher
        if isinstance(request.spec, MetricSpec):
            others[request.spec.evaluation.signature] = request.spec.evaluation
        if training is not request.spec:
            others[request.spec.signature] = request.spec
        if training is None:
            continue
        if teacher is not None:  # it goes before its students
            teachers[training.signature] = teacher.signature
            trainings.setdefault(teacher.signature, teacher)
            tracks.setdefault(teacher.signature, {})[RAW.key] = RAW
        trainings[training.signature] = training
        if "epochs" in request.where and not apart(training):
            grows.add(training.signature)
        tracks.setdefault(training.signature, {})[request.track.key] = request.track
        _narrow(labels, training.signature, request.where)
    jobs = [
        Job(
            spec,
            tracks=tuple(track for _, track in sorted(tracks[signature].items(), reverse=True)),
            needs=(teachers[signature],) if signature in teachers else (),
            label=_label(labels.get(signature, {})),
            keeps_end=signature in grows,
        )
        for signature, spec in trainings.items()
    ]
    order = ("evaluate", "metric", "benchmark")
    for spec in sorted(others.values(), key=lambda spec: order.index(spec.kind)):
        training = spec.trained
        if training is None:
            jobs.append(Job(spec))
        else:
            of = spec.evaluation if isinstance(spec, MetricSpec) else training
            label = _label(labels[training.signature])
            jobs.append(Job(spec, needs=(of.signature,), label=label))
    return jobs


def _is_told(axis: str, value: Any) -> bool:
    """Whether the slug or the track says it: a trick's options they do not say."""
    tricks = [trick for trick in EVERY_TRICK if trick.setting == axis and trick.told_by_slug]
    return axis == "model" or any(trick.is_track or isinstance(value, bool) for trick in tricks)


def _narrow(labels: dict[str, dict[str, str]], signature: str, where: Mapping[str, Any]) -> None:
    """Keep of a training's axis values those that all its arms share."""
    values = {
        axis: _said(axis, value) for axis, value in where.items() if not _is_told(axis, value)
    }
    shared = labels.setdefault(signature, values)
    for axis in [axis for axis, value in shared.items() if values.get(axis) != value]:
        del shared[axis]


def _said(axis: str, value: Any) -> str:
    if axis == "data" and isinstance(value, Mapping):
        (name,) = called([value])
        beside = as_flat(value).items()
        keys = (f"{key} {_said(key, v)}" for key, v in beside if key not in PLACES)
        return ", ".join([name, *keys])
    return value if isinstance(value, str) else text(value)


def _label(values: Mapping[str, str]) -> str:
    return ", ".join(v if a in ("run", "data") else f"{a} {v}" for a, v in values.items())
