"""All plots of a report, each drawn once for all its markups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from reports.blocks import Plot
from reports.figures.select import Selection
from reports.page.plots import cost, curves, forest, seeds
from reports.statistics.answers import Answer


@dataclass(frozen=True)
class Plots:
    tables: Sequence[Sequence[Plot]]
    """Of each answer, in their order."""

    of_all: Sequence[Plot]
    """Of all arms: their costs, their training."""

    def __iter__(self) -> Iterator[Plot]:
        for of_table in self.tables:
            yield from of_table
        yield from self.of_all


def plots(selection: Selection, answers: Sequence[Answer]) -> Plots:
    of_seeds = selection.matrix.seeds
    return Plots(
        tables=[_there(forest.plot(of), seeds.plot(of.table, of_seeds)) for of in answers],
        of_all=_there(*cost.plots(selection, answers), curves.plot(selection)),
    )


def _there(*plots: Plot | None) -> list[Plot]:
    return [plot for plot in plots if plot is not None]
