"""All plots of a report, each drawn once for all its markups."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from reports.blocks import Plot
from reports.figures.select import Selection
from reports.page.plots import forest
from reports.statistics.answers import Answer

_OF_TABLE: Sequence[Callable[[Answer], Plot | None]] = (forest.plot,)


@dataclass(frozen=True)
class Plots:
    tables: Sequence[Sequence[Plot]]
    """Of each answer, in their order."""

    def __iter__(self) -> Iterator[Plot]:
        for of_table in self.tables:
            yield from of_table


def plots(selection: Selection, answers: Sequence[Answer]) -> Plots:
    return Plots([_there(plot(each) for plot in _OF_TABLE) for each in answers])


def _there(plots: Iterator[Plot | None]) -> list[Plot]:
    return [plot for plot in plots if plot is not None]
