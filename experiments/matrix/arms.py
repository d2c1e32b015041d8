"""Axes or named runs -> arms: each a training for every seed, and the track to look at."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from classifier.basics.errors import UserError
from classifier.basics.files import CHECKPOINTS, WEIGHTS, content_hash, stays_in
from classifier.basics.names import nearest
from classifier.config.document import Document, Where
from classifier.config.explanations import (
    check_network,
    check_transforms,
    explain,
    main_detail,
    text,
)
from classifier.config.spec import ArmSettings, TrainSpec
from classifier.config.tracks import Track
from classifier.data import datasets
from classifier.data.spec import DataSpec
from classifier.models import catalogue
from classifier.tricks.distillation import Distill
from experiments.matrix.own import Own
from experiments.matrix.recipes import RECIPES, changed, expanded
from experiments.matrix.schema import File, Trained

MOST_ARMS = 100_000
MOST_TRAININGS = 200_000
MOST_EXCLUDED = 1_000


@dataclass(frozen=True)
class Arm:
    where: Mapping[str, Any]
    """The value of each axis; of named runs the one axis `run`."""
    trainings: tuple[TrainSpec, ...]
    """One for each seed; of data with folds one for each fold of each seed."""
    track: Track
    teachers: tuple[TrainSpec | None, ...] = ()
    """For each of these the training that a distillation learns from, unless from a file."""
    recipe: str | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)
    """What its settings have otherwise than the recipe, by `recipes.changed`."""

    @property
    def data(self) -> DataSpec:
        """What it is trained on, all folds together."""
        return self.trainings[0].data.whole


Combinations = dict[str, tuple[dict[str, Any], dict[str, Where]]]
"""By canonical text: the value of each axis, and where in the file each stands."""


class Arms:
    """The arms of a matrix and the axes that they differ in.

    `forced` are the command line's settings of trainings and of `data`: they go over all others,
    and an axis of that name has that value only. Files of weights and of teachers lie under
    `data_root`.
    """

    def __init__(
        self,
        document: Document,
        file: File,
        forced: Mapping[str, Any],
        data_root: Path,
        own: Own,
    ) -> None:
        self._document, self._file, self.forced = document, file, forced
        self._data_root, self._own = data_root, own
        self._data_of: dict[str, tuple[DataSpec, ...]] = {}
        """By canonical text: most arms have the same."""
        self.data_at: dict[DataSpec, str] = {}
        """The file and line of what is trained on."""
        self._trainings = 0
        self.axes: dict[str, list[Any]]
        if (file.matrix is None) == (file.runs is None):
            raise document.error((), "a matrix has either 'matrix' (axes) or 'runs', and not both")
        if file.runs is not None:
            self._check_count(len(file.runs))
            self.axes = {"run": list(file.runs)}
            self._made: dict[str, Arm | None] = {}
            self.all = [self._run(name) for name in file.runs]
        else:
            self.all = self._multiplied(dict(file.matrix or {}))

    def check(self, where: Mapping[str, Any], place: Where) -> None:
        """Raise UserError where a condition names what is no axis or no value of one."""
        for name, value in where.items():
            if name not in self.axes:
                raise self._document.error((*place, name), self.unknown_axis(name))
            values = self.axes[name]
            if name not in self.forced and all(
                text(value) != text(possible) for possible in values
            ):
                known_values = ", ".join(map(text, values[:20]))
                raise self._document.error(
                    (*place, name),
                    f"axis '{name}' has no value {text(value)}; it has {known_values}",
                )

    def unknown_axis(self, name: str) -> str:
        return f"'{name}' is not an axis of this matrix{nearest(name, self.axes)}"

    def _run(self, name: str) -> Arm:
        """A named run, made once: a teacher is asked for by its students too."""
        made = self._made.get(name)
        if made is None:
            if name in self._made:
                raise self._document.error(("runs", name), f"run '{name}' would teach itself")
            self._made[name] = None
            assert self._file.runs is not None
            made = self._made[name] = self._named(name, self._file.runs[name])
        return made

    def _named(self, name: str, settings: Mapping[str, Any]) -> Arm:
        if "|" in name or "\n" in name:
            raise self._document.error(
                ("runs", name), "a run's name may hold no '|' and no new line"
            )
        return self._arm({"run": name}, {key: ("runs", name, key) for key in settings}, settings)

    def _multiplied(self, axes: dict[str, Any]) -> list[Arm]:
        include = self._combinations(axes.pop("include", []), "include")
        exclude = self._combinations(axes.pop("exclude", []), "exclude")
        self._check_values(axes)
        self._check_paths(axes)
        if len(exclude) > MOST_EXCLUDED:
            message = f"{len(exclude):,} combinations are excluded, more than {MOST_EXCLUDED:,}"
            raise self._document.error(("matrix", "exclude"), message)
        self.axes = axes
        combinations: Combinations = {}
        for indices in product(*(range(len(values)) for values in axes.values())):
            picked = dict(zip(axes, indices, strict=True))
            where = {name: axes[name][index] for name, index in picked.items()}
            places: dict[str, Where] = {n: ("matrix", n, index) for n, index in picked.items()}
            combinations[text(where)] = (where, places)
        for position, part in enumerate(exclude):
            self.check(part, ("matrix", "exclude", position))
            left = {key: pair for key, pair in combinations.items() if not matches(pair[0], part)}
            if len(left) == len(combinations):
                raise self._document.error(("matrix", "exclude", position), "it excludes nothing")
            combinations = left
        for position, whole in enumerate(include):
            self._include(combinations, whole, position)
        return [self._arm(where, places, where) for where, places in combinations.values()]

    def _check_values(self, axes: Mapping[str, Any]) -> None:
        if not axes:
            raise self._document.error(("matrix",), "the matrix has no axis; add one, as model")
        for name, values in axes.items():
            place: Where = ("matrix", name)
            if not isinstance(values, list):
                raise self._document.error(place, f"axis '{name}' must be a list of values")
            if not values:
                raise self._document.error(place, f"axis '{name}' is empty; give it a value")
            if len(set(map(text, values))) < len(values):
                raise self._document.error(place, f"axis '{name}' has a value twice")
        self._check_count(math.prod(map(len, axes.values())))

    def _check_count(self, arms: int) -> None:
        """Before anything is built."""
        if arms > MOST_ARMS:
            message = f"the matrix has {arms:,} arms, more than {MOST_ARMS:,}"
            raise self._document.error(("matrix",), message)
        trainings = arms * len(self._file.seeds)
        if trainings > MOST_TRAININGS:
            message = f"the matrix has {trainings:,} trainings, more than {MOST_TRAININGS:,}"
            raise self._document.error(("seeds",), message)

    def _check_paths(self, axes: Iterable[str]) -> None:
        """No axis, and no setting of the command line, may hold another axis inside it; but a data
        set may be chosen on one and its split on another."""
        names = [*axes, *(name for name in self.forced if name not in axes)]
        for outer in (name for name in names if name != "data"):
            for inner in names:
                if inner.startswith(f"{outer}.") and (inner in axes or outer in axes):
                    place = ("matrix", inner) if inner in axes else _forced_place(inner)
                    message = f"'{inner}' is a part of '{outer}', which is set as well; set one"
                    raise self._document.error(place, message)
        if "data" in axes and self._file.data is not None and not any(map(is_of_data, self.forced)):
            message = "'data' stands at the top and as an axis; leave one out"
            raise self._document.error(("data",), message)

    def _include(self, combinations: Combinations, whole: dict[str, Any], position: int) -> None:
        """Append a whole combination; it never changes one that is there."""
        place: Where = ("matrix", "include", position)
        for name in whole:
            if name not in self.axes:
                raise self._document.error((*place, name), self.unknown_axis(name))
        for name in self.axes:
            if name not in whole:
                message = f"include needs every axis; '{name}' is missing"
                raise self._document.error(place, message)
        where = {
            name: values[0] if name in self.forced else whole[name]
            for name, values in self.axes.items()
        }
        for name, value in where.items():
            if all(text(value) != text(values) for values in self.axes[name]):
                self.axes[name].append(value)
        combinations.setdefault(text(where), (where, {name: (*place, name) for name in where}))

    def _combinations(self, values: Any, name: str) -> list[dict[str, Any]]:
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise self._document.error(("matrix", name), f"'{name}' must be a list of combinations")
        return values

    def _arm(
        self, where: dict[str, Any], places: Mapping[str, Where], own: Mapping[str, Any]
    ) -> Arm:
        """One arm: the shared settings, its own over them, the command line's over all."""
        settings: dict[str, Any] = {}
        origins: dict[str, Where] = {}
        for name, value in self._file.train.items():
            _put(settings, name, value)
            origins[name] = ("train", name)
        for name, value in own.items():
            if not is_of_data(name):
                _put(settings, name, value)
                origins[name] = places[name]
        for name, value in self.forced.items():
            if not is_of_data(name):
                _put(settings, name, value)
                origins[name] = _forced_place(name)
        recipe, settings = self._expanded(settings, origins)
        others = changed(recipe, settings) if recipe else {}
        self._refuse_top_level(settings, origins)
        if settings.get("weights") not in (None, False):
            place = _place(origins, "weights")
            settings["weights"] = self._known(settings["weights"], place, WEIGHTS)
        teachers = self._teachers(settings, origins)
        if teachers:
            settings["distill"] = {**settings["distill"], "teacher": teachers[0].signature}
        folds = self._data(own, places)
        self._check_trainings(len(folds))
        if teachers and teachers[0].data != folds[0]:
            place = _place(origins, "distill")
            message = "the teacher is trained on other data; a teacher needs those of its students"
            raise self._document.error(place, message)
        settings |= {"data": folds[0], "seed": self._file.seeds[0]}
        settings = self._own.put(settings, partial(_written_at, origins))
        try:
            checked = ArmSettings.model_validate(settings)
        except ValidationError as error:
            raise self._explained(error, origins) from error
        check_network(
            checked,
            self._document,
            lambda name: _place(origins, name) or origins["model"],
            self._own.names["model"],
        )
        for teacher in teachers:
            with self._document.errors_at(_place(origins, "distill")):
                catalogue.check_teacher(teacher.model, teacher.image_size, checked.image_size)
        transforms = origins.get("albumentations", ())
        check_transforms(checked.albumentations, self._document, transforms)
        first = checked.training
        trainings = [
            first.model_copy(update={"seed": seed, "data": fold})
            for seed in self._file.seeds
            for fold in folds
        ]
        if not teachers:
            no_teachers = tuple(None for _ in trainings)
            return Arm(where, tuple(trainings), checked.track, no_teachers, recipe, others)
        distill = first.trick(Distill)
        assert distill is not None
        for position, teacher in enumerate(teachers):
            taught = distill.model_copy(update={"teacher": teacher.signature})
            trainings[position] = trainings[position].model_copy(update={"distill": taught})
        return Arm(where, tuple(trainings), checked.track, teachers, recipe, others)

    def _expanded(
        self, settings: dict[str, Any], origins: dict[str, Where]
    ) -> tuple[str | None, dict[str, Any]]:
        """The recipe that is named, if one is, and its settings, in which all others change
        parts."""
        name, place = settings.pop("recipe", None), origins.pop("recipe", ())
        if name is None or name is False:
            return None, settings
        if not isinstance(name, str) or name not in RECIPES:
            shown = name if isinstance(name, str) else text(name)
            message = f"unknown recipe '{shown}'{nearest(shown, RECIPES)}"
            raise self._document.error(place, message)
        whole = expanded(name, settings)
        for setting in whole:
            if not any(each.partition(".")[0] == setting for each in origins):
                origins[setting] = place
        return name, whole

    def _check_trainings(self, folds: int) -> None:
        """Before an arm's are built: folds multiply them."""
        self._trainings += folds * len(self._file.seeds)
        if self._trainings > MOST_TRAININGS:
            message = f"with its folds the matrix has more than {MOST_TRAININGS:,} trainings"
            raise self._document.error(("data",), message)

    def _data(self, own: Mapping[str, Any], places: Mapping[str, Where]) -> tuple[DataSpec, ...]:
        """What an arm is trained on, by fold: what the top says, the arm's over it, the command
        line's over all; of each first a whole data set, then keys of it."""
        written: dict[str, Any] = {}
        origins: dict[str, Where] = {}
        if self._file.data is not None:
            written["data"], origins["data"] = self._file.data, ("data",)
        of_arm = [(name, value, places[name]) for name, value in own.items() if is_of_data(name)]
        forced = [(n, value, _forced_place(n)) for n, value in self.forced.items() if is_of_data(n)]
        for name, value, place in sorted([*of_arm, *forced], key=lambda each: "." in each[0]):
            _put(written, name, value)
            origins[name] = place
        if not written:
            raise self._document.error((), "'data' is missing")
        key = text(written)
        if key not in self._data_of:
            self._data_of[key] = self._checked_data(written, origins)
        return self._data_of[key]

    def _checked_data(
        self, written: Mapping[str, Any], origins: Mapping[str, Where]
    ) -> tuple[DataSpec, ...]:
        def written_at(loc: tuple[str | int, ...]) -> Where:
            return _written_at(origins, loc)

        try:
            made = Trained.model_validate({"data": self._own.data(written["data"], written_at)})
        except ValidationError as error:
            detail = main_detail(error)
            named = [o for name, o in origins.items() if f"'{name[5:]}'" in detail["msg"]]
            whole = len(detail["loc"]) < 2
            place = named[-1] if whole and named else written_at(tuple(detail["loc"]))
            raise explain(
                error, self._document, place, Trained, ("own", "fold"), self._own.names
            ) from error
        folds = made.data.each_fold
        if len(folds) > 1:  # where the data are there, it is known whether they can be cut so
            with self._document.errors_at(written_at(("data", "folds"))):
                for fold in folds:
                    datasets.counts(fold, self._data_root)
        at = self._document.place(written_at(("data",)))
        for fold in folds:
            self.data_at.setdefault(fold, at)
        return folds

    def _teachers(
        self, settings: dict[str, Any], origins: Mapping[str, Where]
    ) -> tuple[TrainSpec, ...]:
        """The trainings of the run that `distill.teacher` names, one for each seed; none for a
        checkpoint file."""
        distill = settings.get("distill")
        if not isinstance(distill, dict) or "teacher" not in distill:
            return ()
        name, runs = distill["teacher"], self._file.runs or {}
        place = _place(origins, "distill")
        if isinstance(name, dict) and set(name) == {"file"}:
            file = self._known(name["file"], (*place, "teacher", "file"), CHECKPOINTS)
            settings["distill"] = {**distill, "teacher": file}
            return ()
        if not isinstance(name, str) or name not in runs:
            shown = name if isinstance(name, str) else text(name)
            message = (
                f"unknown teacher '{shown}'; a teacher is a run of this matrix or {{file: PATH}}"
            )
            raise self._document.error(place, message + nearest(shown, runs))
        teacher = self._run(name)
        if teacher.trainings[0].has("distill"):
            message = f"the teacher '{name}' is distilled itself; name one that is not"
            raise self._document.error(place, message)
        return teacher.trainings

    def _known(self, path: Any, where: Where, suffixes: Collection[str]) -> dict[str, str]:
        """A file under the data root as a spec knows it: its name, and what is in it."""
        if not isinstance(path, str) or not stays_in(self._data_root, path):
            shown = text(path)[:80]
            inside = f"a file that lies under the data root {self._data_root} (links followed)"
            message = f"{inside} is expected, not {shown}"
            raise self._document.error(where, message)
        try:
            return {"file": path, "sha256": content_hash(self._data_root / path, suffixes)}
        except UserError as error:
            raise self._document.error(where, str(error)) from error

    def _refuse_top_level(self, settings: Mapping[str, Any], origins: Mapping[str, Where]) -> None:
        for name in ("own_model", "own_tricks"):
            if name in settings:
                raise self._document.error(origins[name], f"unknown setting '{name}'")
        for name, value in settings.items():
            if isinstance(value, dict) and "digest" in value:
                message = f"unknown setting 'digest' of '{name}'"
                raise self._document.error(_written_at(origins, (name, "digest")), message)
        for name, instead in (("data", "'data'"), ("seed", "'seeds'")):
            if name in settings:
                message = f"'{name}' is no training setting; give it at the top, as {instead}"
                raise self._document.error(origins.get(name, ()), message)
        if "model" not in settings:
            raise self._document.error(("train",), "no 'model': set it in train, or as an axis")

    def _explained(self, error: ValidationError, origins: Mapping[str, Where]) -> UserError:
        """With the place of the setting as it was written: in train, on an axis, in a run."""
        detail = main_detail(error)
        loc = tuple(detail["loc"])
        place = _written_at(origins, loc) if loc else _named_in(detail["msg"], origins)
        given_elsewhere = ("data", "seed", "own_model", "own_tricks")
        own = self._own.names
        return explain(error, self._document, place, ArmSettings, given_elsewhere, own)


def _written_at(origins: Mapping[str, Where], loc: tuple[str | int, ...]) -> Where:
    """Where a way into a training's settings was written."""
    place: Where = ("train", *loc)
    for name, origin in origins.items():
        path = tuple(name.split("."))
        if path == loc[: len(path)]:
            place = (*origin, *loc[len(path) :])
    return place


def _named_in(message: str, origins: Mapping[str, Where]) -> Where:
    """Where the settings stand that can't be combined, which a message has in quotes: what an arm
    adds to those that all share, if it is any of them."""
    named = [o for name, o in origins.items() if f"'{name.partition('.')[0]}'" in message]
    added = [origin for origin in named if origin[0] != "train"]
    return (added or named or [("train",)])[-1]


def is_of_data(name: str) -> bool:
    """Whether an axis or a setting is of what is trained on, and not of the training."""
    return name == "data" or name.startswith("data.")


def _forced_place(name: str) -> Where:
    return tuple(name.split(".")) if is_of_data(name) else ("train", *name.split("."))


def _place(origins: Mapping[str, Where], setting: str) -> Where:
    """Where a setting was written, or a part of it: `distill.ratio`."""
    return next((o for name, o in origins.items() if name.partition(".")[0] == setting), ())


def matches(where: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(name in where and text(where[name]) == text(v) for name, v in wanted.items())


def _put(settings: dict[str, Any], name: str, value: Any) -> None:
    """Set a dotted path: `optimizer.weight_decay`. An option of a switch turns it on."""
    *groups, last = name.split(".")
    target = settings
    for group in groups:
        inner = target.get(group)
        inner = {"name": inner} if isinstance(inner, str) else inner
        target[group] = dict(inner) if isinstance(inner, dict) else {}
        target = target[group]
    target[last] = value
