"""YAML -> Matrix: the text of a matrix becomes checked data, or one error with its place.

A matrix multiplies axes (or names its runs) into arms. A table's cell selects one arm, and asks for
one record a seed. The plan and the report both start from these requests, so that what is run is
what is shown.
"""

from __future__ import annotations

from pathlib import Path

from classifier.basics.files import LONGEST_NAME, short_name
from classifier.config.document import Document
from classifier.data.spec import DataSpec
from experiments.matrix import schema
from experiments.matrix.arms import Arms
from experiments.matrix.cells import Tables, without_published
from experiments.matrix.model import Matrix
from experiments.matrix.overrides import (
    NO_OVERRIDES,
    SMOKE,
    Overrides,
    apply,
    is_of_arms,
    mark,
)
from experiments.matrix.own import Own
from experiments.matrix.schema import File, TableSettings

DATA_ROOT = Path("data")
"""Where neither the command nor a matrix says another."""


def load(
    path: Path,
    overrides: Overrides = NO_OVERRIDES,
    data_root: Path | None = None,
    text: str | None = None,
) -> Matrix:
    """Read and check a matrix. Raises UserError with file, line and what to do.

    `data_root`, in place of the matrix's own, is looked at only for files of weights and for the
    number of classes of a `folder` in a table with speeds. `text` is taken as if it stood there.
    """
    document = Document(path, text)
    if not isinstance(document.data, dict):
        raise document.error((), "a matrix is a mapping with title, data, train, matrix, tables")
    applied = apply(document, overrides)
    own = Own(document)
    own.put_into_file()
    file = schema.read(document, own.names)
    if len(set(file.seeds)) < len(file.seeds):
        raise document.error(("seeds",), "a seed is given twice")
    data_root = data_root or _own_root(document, file)
    forced = {n.removeprefix("train."): v for n, v in applied.items() if is_of_arms(n)}
    arms = Arms(document, file, forced, data_root, own)
    loose = [name.removeprefix("train.") for name in SMOKE if overrides.smoke and is_of_arms(name)]
    tables = Tables(document, file, arms, data_root, loose)
    wanted = {n: _on_smoke_data(s) if overrides.smoke else s for n, s in file.tables.items()}
    made = tuple(tables.make(name, settings) for name, settings in wanted.items())
    marked = mark(overrides, applied)
    return Matrix(
        name=short_name(path.stem, LONGEST_NAME - len(marked)) + marked,
        title=file.title + (" (smoke)" if overrides.smoke else ""),
        source=path,
        seeds=tuple(file.seeds),
        arms=tuple(arms.all),
        tables=tuple(map(without_published, made)) if overrides.smoke else made,
        notes=(*tables.notes, *tables.idle_arms()),
        overrides=applied,
        plugins=own.brought,
        data_at=arms.data_at,
        data_root=data_root,
    )


def _own_root(document: Document, file: File) -> Path:
    if file.data_root is None:
        return DATA_ROOT
    named = Path(file.data_root)
    if named.is_absolute() or ".." in named.parts:
        raise document.error(
            ("data_root",), "'data_root' lies in the matrix's folder; name another with --data-root"
        )
    root = document.source.parent / named
    if root.exists() and not root.is_dir():
        raise document.error(("data_root",), f"'data_root' {root} is a file; name a folder")
    return root


def _on_smoke_data(settings: TableSettings) -> TableSettings:
    """Columns that look at other data look at all of the smoke run's."""
    data = DataSpec.model_validate(SMOKE["data"])
    columns = [c.model_copy(update={"data": data}) if c.data else c for c in settings.columns]
    return settings.model_copy(update={"columns": columns})
