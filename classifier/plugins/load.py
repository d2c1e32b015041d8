"""Running a user's file in a job's process, and what is between its objects and a training.

The text that was planned runs, not what lies in the folder by then: each file is a module made of
it, and an import in it finds the files beside it first. An exception in it is one error with the
file's line; its traceback goes to the job's log.
"""

from __future__ import annotations

import builtins
import linecache
import logging
import math
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path, PurePosixPath
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from classifier.basics.errors import StoppedError, UserError
from classifier.basics.files import sha256
from classifier.basics.users import Plugin
from classifier.plugins.brought import Brought, data_of
from classifier.plugins.declared import Declared
from classifier.tricks.base import Act, Batch, BatchLoss, Beginning, TaskLoss, Update

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from classifier.models.network import Network

_log = logging.getLogger(__name__)

_TOLD = (
    "OutOfMemoryError",
    "can't allocate memory",
    "does not have a deterministic implementation",
)
"""Of errors that the job itself explains."""

DRAWS = (
    "draw from torch's, NumPy's or Python's global generators (torch.rand, np.random.rand, "
    "random.random), which are keyed; a generator of one's own is not, nor is a counter or a list "
    "at the file's top"
)
"""What to do about code that does not repeat."""
_MODULE = "plugin "
"""Begins the names of the user's modules: no other's can."""

_known: dict[tuple[str, str], tuple[Brought, Declared]] = {}
"""What may be loaded in this process, by name and digest."""


def use(brought: Iterable[Brought]) -> None:
    """Let this process load what these files declare. Nothing of them runs yet."""
    for each in brought:
        for declared in each.declared.values():
            _known[declared.name, declared.digest] = each, declared


def call(plugin: Plugin, *given: object) -> Any:
    """Call an object with its settings, keyed by nothing but its name."""
    from classifier.basics.randomness import keyed_everywhere

    made = object_of(plugin)
    with keyed_everywhere(0, f"plugin {plugin.name}"), telling(plugin):
        return made(*given, **plugin.settings)


def optimizer_of(plugin: Plugin, groups: list[dict[str, Any]], lr: float) -> Optimizer:
    from torch.optim import Optimizer

    made = call(plugin, groups, lr)
    if not isinstance(made, Optimizer):
        what = f"must give a torch.optim.Optimizer, not {type(made).__name__}"
        raise UserError(f"{place_of(plugin)}: optimizer '{plugin.name}' {what}")
    return made


def function_of(plugin: Plugin) -> Callable[..., Any]:
    """A function with its settings; of a class what an instance does when it is called."""
    made = object_of(plugin)
    if isinstance(made, type):
        instance: Callable[..., Any] = call(plugin)
        return instance
    return partial(made, **plugin.settings)


def computed(plugin: Plugin, loss: TaskLoss) -> TaskLoss:
    """A loss whose result is looked at."""

    def looked_at(logits: Tensor, targets: Tensor) -> Tensor:
        with telling(plugin):
            value = loss(logits, targets)
        shape = getattr(value, "shape", None)
        if shape is None or len(shape):
            what = type(value).__name__ if shape is None else f"a tensor of shape {tuple(shape)}"
            message = f"gave {what}: a loss is one number, the mean over the batch, as a tensor"
            raise UserError(f"{place_of(plugin)}: loss '{plugin.name}' {message}")
        return value

    return looked_at


def augmenting(plugin: Plugin) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """An augmentation whose draws from NumPy and `random` are the image's, as torch's are."""
    from classifier.basics.randomness import keyed_beside_torch

    function = function_of(plugin)

    def augmented(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with keyed_beside_torch(), telling(plugin):
            made: NDArray[np.uint8] = function(image)
        kind = f"{getattr(made, 'dtype', type(made).__name__)} {getattr(made, 'shape', '')}"
        if kind != f"{image.dtype} {image.shape}":
            raise UserError(
                f"{place_of(plugin)}: augmentation '{plugin.name}' made {kind} of {image.dtype} "
                f"{image.shape}; an image's size and kind must stay"
            )
        return made

    return augmented


def trunk_of(plugin: Plugin, classes: int) -> tuple[nn.Module, int]:
    """A model's trunk, and how many features it makes. Keyed by the caller: its weights differ by
    seed."""
    from torch import nn

    from classifier.basics.randomness import keyed_beside_torch

    made = object_of(plugin)
    with keyed_beside_torch(), telling(plugin):
        built = made(classes, **plugin.settings)
    match built:
        case (nn.Module() as trunk, int() as features):
            return trunk, features
    raise UserError(
        f"{place_of(plugin)}: model '{plugin.name}' must give (trunk, features): a module, and how "
        "many features it makes of an image"
    )


def act_of(plugin: Plugin, training: Beginning) -> Act:
    """What a trick does in one training, made under a key of its own."""
    from classifier.basics.randomness import keyed_everywhere

    kind = object_of(plugin)
    if not (isinstance(kind, type) and issubclass(kind, Act)):
        message = f"trick '{plugin.name}' must be a class of classifier.plugins.Act"
        raise UserError(f"{place_of(plugin)}: {message}")
    given = (training,) if plugin.takes else ()
    seed = training.spec.seed
    with keyed_everywhere(seed, f"plugin {plugin.name}"), telling(plugin):
        return UserAct(plugin, kind(*given, **plugin.settings))


class UserAct(Act):
    """A user's act, with what it owes looked at."""

    def __init__(self, plugin: Plugin, act: Act) -> None:
        from torch import nn

        self._plugin, self._act = plugin, act
        self.layers = act.layers
        if not isinstance(self.layers, nn.Module | None):
            raise self._error(
                "layers must be one torch.nn.Module (several are a torch.nn.ModuleList), not "
                f"{type(self.layers).__name__}"
            )

    def batch(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        with telling(self._plugin):
            made = self._act.batch(images, targets)
        if not (isinstance(made, tuple) and len(made) == 2 and len(made[0]) == len(made[1])):
            raise self._error("batch must give images and their targets, as many of each")
        return made

    def loss(self, batch: Batch, inner: Callable[[], BatchLoss]) -> BatchLoss:
        called, counted = _counting(inner)
        with telling(self._plugin):
            made = self._act.loss(batch, counted)
        if not isinstance(made, BatchLoss):
            raise self._error(f"loss must give a BatchLoss, not {type(made).__name__}")
        self._check_called(called, "loss")
        return made

    def step(self, update: Update, inner: Callable[[], Tensor]) -> Tensor:
        import torch

        called, counted = _counting(inner)
        with telling(self._plugin):
            made = self._act.step(update, counted)
        if not isinstance(made, torch.Tensor):
            raise self._error(f"step must give the batch's loss, not {type(made).__name__}")
        self._check_called(called, "step")
        return made

    def after_step(self, network: Network, step: int) -> None:
        with telling(self._plugin):
            self._act.after_step(network, step)
        if self._act.layers is not self.layers:
            raise self._error(
                "layers must be made in __init__, and be the same ever after: the optimiser knows "
                "no others"
            )

    def report(self) -> dict[str, float | None]:
        with telling(self._plugin):
            made = self._act.report()
        try:
            numbers = {name: float(number) for name, number in dict(made).items()}  # type: ignore[arg-type]
        except (TypeError, ValueError, RuntimeError) as error:
            raise self._error(f"report must give numbers by name, not {made!r:.60}") from error
        if not all(isinstance(name, str) for name in numbers):
            raise self._error(f"report must give numbers by name, not {made!r:.60}")
        return {name: n if math.isfinite(n) else None for name, n in numbers.items()}

    @property
    def attributes(self) -> dict[str, Any]:
        """What the user's object holds that a state could."""
        return plain_attributes(self._act)

    def state_dict(self) -> dict[str, Any]:
        with telling(self._plugin):
            state = self._act.state_dict()
        if wrong := not_plain(state):
            message = f"state_dict holds {wrong}; it can hold containers, numbers, text and tensors"
            raise self._error(message)
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        with telling(self._plugin):
            self._act.load_state_dict(state)

    def _check_called(self, called: list[None], place: str) -> None:
        """One that takes a place over without saying so would silently undo other tricks."""
        if not called and place not in getattr(self._plugin, "takes_over", ()):
            raise self._error(
                f"its {place} did not call inner, so it takes the {place} over: say "
                f"@trick(takes_over=['{place}'])"
            )

    def _error(self, message: str) -> UserError:
        return UserError(f"{place_of(self._plugin)}: trick '{self._plugin.name}': {message}")


def _counting(inner: Callable[[], Any]) -> tuple[list[None], Callable[[], Any]]:
    called: list[None] = []

    def counted() -> Any:
        called.append(None)
        return inner()

    return called, counted


def not_plain(value: object) -> str | None:
    """What a kept state can't hold, if there is such a thing in it: states are read without running
    pickled code."""
    import torch

    if isinstance(value, dict):
        parts: Iterable[object] = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple):
        parts = value
    else:
        plain = value is None or isinstance(value, bool | int | float | str | torch.Tensor)
        return None if plain else f"a {type(value).__name__}"
    return next(filter(None, map(not_plain, parts)), None)


def plain_attributes(of: object) -> dict[str, Any]:
    """The attributes that a kept state could hold."""
    return {name: value for name, value in vars(of).items() if not not_plain(value)}


@contextmanager
def telling(plugin: Plugin) -> Iterator[None]:
    """An exception of the user's code is one error, with the line of the file."""
    brought = _of(plugin)[0]
    with _telling(brought, f"{plugin.kind} '{plugin.name}'"):
        yield


@contextmanager
def _telling(brought: Brought, what: str) -> Iterator[None]:
    try:
        yield
    except (UserError, StoppedError, MemoryError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        said = str(error).strip().partition("\n")[0]
        cause = error.__cause__  # of a StopIteration in a generator
        line = _line(error.__traceback__, brought)
        line = line or _line(cause.__traceback__ if cause else None, brought)
        if line is None or any(each in f"{type(error).__name__}: {said}" for each in _TOLD):
            raise
        _log.error("%s", traceback.format_exc())
        raise UserError(f"{line}: {what}: {type(error).__name__}: {said}") from error


def _line(trace: TracebackType | None, brought: Brought) -> str | None:
    """The last of the user's lines that an exception came through."""
    files = {str(brought.folder / path) for path in brought.texts}
    lines = [
        f"{frame.filename}:{frame.lineno}"
        for frame in traceback.extract_tb(trace)
        if frame.filename in files
    ]
    return lines[-1] if lines else None


def _of(plugin: Plugin) -> tuple[Brought, Declared]:
    try:
        return _known[plugin.name, plugin.digest]
    except KeyError:
        raise UserError(
            f"{plugin.kind} '{plugin.name}' is of {plugin.file}, which is not at hand here as it "
            "was; run the matrix that brings it"
        ) from None


def check_threads(plugin: Plugin, before: Collection[threading.Thread]) -> None:
    """Raises UserError where there are others now."""
    more = [thread.name for thread in threading.enumerate() if thread not in before]
    if more:
        raise UserError(
            f"{place_of(plugin)}: {plugin.kind} '{plugin.name}' leaves a thread running "
            f"({more[0]}); a job is one thread of yours"
        )


def place_of(plugin: Plugin) -> str:
    """The file and line of an object."""
    brought, declared = _of(plugin)
    return f"{brought.folder / declared.file}:{declared.line}"


def folder_of(plugin: Plugin) -> str:
    """The matrix's, with which the lines of errors begin."""
    return str(_of(plugin)[0].folder / "x")[:-1]


def object_of(plugin: Plugin) -> Any:
    """The function or class itself. Runs its file, once in a process."""
    brought, declared = _of(plugin)
    for path in data_of(declared.file, declared):
        _check_data(brought.folder / path, brought.data[path])
    return getattr(_module(brought, declared.file), plugin.name)


@cache
def _check_data(file: Path, expected: str) -> None:
    if not file.is_file() or sha256(file) != expected:
        raise UserError(f"{file} has changed since this job was planned; run it again")


def _module(brought: Brought, path: str) -> ModuleType:
    """A file of the user's, run once in a process, keyed by its path alone."""
    from classifier.basics.randomness import keyed_everywhere

    text, file = brought.texts[path], str(brought.folder / path)
    name = f"{_MODULE}{brought.hash} {PurePosixPath(path).with_suffix('')}"
    if name in sys.modules:
        return sys.modules[name]
    module = ModuleType(name)
    module.__file__ = file
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importing(brought, path)}
    sys.modules[name] = module
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        key = keyed_everywhere(0, f"plugin {path}")
        with key, _telling(brought, "it can't be imported"):
            exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    except BaseException:
        del sys.modules[name]
        raise
    return module


def run_anew() -> None:
    """Let each file run once more where it is needed next, as in another process."""
    for name in [name for name in sys.modules if name.startswith(_MODULE)]:
        del sys.modules[name]


def _importing(brought: Brought, path: str) -> Callable[..., ModuleType]:
    """`__import__` for a file of the user's: what lies beside it goes first."""

    def importing(
        name: str, scope: Any = None, inner: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        top, dot, _ = name.partition(".")
        other = brought.beside(path, top) if not level else None
        if other is not None and not dot:
            return _module(brought, other)
        if other is not None:
            raise ModuleNotFoundError(f"No module named '{name}'; '{top}' beside it is no package")
        return builtins.__import__(name, scope, inner, fromlist, level)

    return importing


def files_of(plugins: Iterable[Plugin]) -> dict[str, str]:
    """The texts that these objects are of, by path: what is kept beside a record."""
    texts: dict[str, str] = {}
    for plugin in plugins:
        texts |= _of(plugin)[0].texts
    return texts


def packages_of(plugins: Iterable[Plugin]) -> dict[str, str]:
    """The installed packages that these objects' files import, with their versions."""
    import ast
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    modules: set[str] = set()
    for text in files_of(plugins).values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    found: dict[str, str] = {}
    others = []
    for module in sorted(modules - sys.stdlib_module_names - {"classifier"}):
        try:
            found[module] = version(module)
        except PackageNotFoundError:
            others.append(module)
    if others:  # looks through all that is installed, which takes half a second
        installed = packages_distributions()
        found |= {n: version(n) for module in others for n in installed.get(module, ())}
    return dict(sorted(found.items()))
