"""In which order jobs are started, and how long all of them take in that order. Pure.

What is started is an item: a job, or several that one process does. The order is a list: a place
that gets free takes the first item of the list that is ready, and is free at the end of its last
job; an item is ready when all jobs that it needs have ended, also those of an item that goes on.
Whatever the list, on m places that takes at most 2 - 1/m times the least (Graham 1969, Bounds on
multiprocessing timing anomalies, SIAM J. Appl. Math. 17); the longest way to the end first comes
near the least (Hu 1961, Parallel sequencing and assembly line problems, Operations Research 9).
Where that leaves places idle at the end, and costs are known well, other lists are tried: in
one that is fitted to wrong costs a long job may come last.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Protocol, TypeVar

ENOUGH = 1.01
"""No other order is tried where this one takes at most so many times the least that any could."""
MOST_TRIED, MOST_SIMULATED = 200, 20_000
"""So many other orders are tried, and in all of them together so many jobs: half a second."""


class Item(Protocol):
    """What is known of a job, or of several that are started as one (`bundles.Bundle`)."""

    @property
    def id(self) -> str: ...
    @property
    def needs(self) -> Sequence[str]:
        """The ids of the jobs of others that come before. Those that no item has are done."""

    @property
    def is_speed(self) -> bool:
        """It comes after all others, which never need it, with no other beside it."""

    def ends(self, seconds: Mapping[str, float]) -> Sequence[tuple[float, str]]:
        """When each of its jobs ends, with its id, counted from the item's start; in that order.
        `seconds`: of each job by its id."""


AnyItem = TypeVar("AnyItem", bound=Item)


@dataclass(frozen=True)
class Span:
    """When an item starts and its last job ends, in the unit of what these take."""

    start: float
    end: float


def ordered(
    items: Iterable[AnyItem], costs: Mapping[str, float], slots: int, *, are_sure: bool
) -> list[AnyItem]:
    """Those with the longest way to the end first, speeds last, equal ones as they came; or, where
    costs are sure, what was found to be done sooner.

    `costs`: of each job by its id, in any unit; `slots`: places for items.
    """
    items = list(items)
    ways = longest_ways(items, costs)
    by_way = sorted(items, key=lambda item: -ways[item.id])
    before = [item for item in by_way if not item.is_speed]
    speeds = [item for item in by_way if item.is_speed]
    return (_improved(before, costs, slots) if are_sure else before) + speeds


def _improved(order: list[AnyItem], costs: Mapping[str, float], slots: int) -> list[AnyItem]:
    """By swapping two, the long ones more often, as long as that makes nothing longer. The
    same order for the same items."""
    chance = random.Random(0)  # noqa: S311
    shortest = simulate(order, costs, slots)
    enough = ENOUGH * lower_bound(order, costs, slots)
    weights = {item.id: whole(item, costs) for item in order}
    jobs = sum(len(item.ends(costs)) for item in order)
    for _ in range(min(MOST_TRIED, MOST_SIMULATED // max(jobs, 1))):
        if shortest <= enough:
            break
        tried, by_rank = list(order), [weights[item.id] for item in order]
        one, other = chance.choices(range(len(tried)), by_rank, k=2)
        tried[one], tried[other] = tried[other], tried[one]
        until = simulate(tried, costs, slots)
        if until <= shortest:
            order, shortest = tried, until
    return order


def longest_ways(items: Collection[Item], costs: Mapping[str, float]) -> dict[str, float]:
    """By item, from its start to the end of the last that waits for it: to its own last end, or
    to the end of one of its jobs and on by the longest way of those that need that one. Raises
    graphlib.CycleError."""
    of = {job: (item.id, end) for item in items for end, job in item.ends(costs)}
    before = {item.id: [of[need] for need in item.needs if need in of] for item in items}
    ways = {item.id: whole(item, costs) for item in items}
    graph = {each: [item for item, _ in needs] for each, needs in before.items()}
    for each in reversed(tuple(TopologicalSorter(graph).static_order())):
        for item, end in before[each]:
            ways[item] = max(ways[item], end + ways[each])
    return ways


def whole(item: Item, seconds: Mapping[str, float]) -> float:
    """From its start to the end of its last job."""
    return item.ends(seconds)[-1][0]


def lower_bound(items: Collection[Item], seconds: Mapping[str, float], slots: int) -> float:
    """No order is done sooner: neither than the longest way, nor than all places working to the
    end; then the speeds."""
    before = [item for item in items if not item.is_speed]
    ways = longest_ways(before, seconds)
    work = sum(whole(item, seconds) for item in before)
    speeds = sum(whole(item, seconds) for item in items if item.is_speed)
    return max(work / max(slots, 1), *ways.values(), 0.0) + speeds


def simulate(
    items: Sequence[Item],
    seconds: Mapping[str, float],
    slots: int,
    running: Collection[str] = (),
) -> float:
    """Seconds until the last of them ends; see `schedule`."""
    spans = schedule(items, seconds, slots, running)
    return max((span.end for span in spans.values()), default=0.0)


def schedule(
    items: Sequence[Item],
    seconds: Mapping[str, float],
    slots: int,
    running: Collection[str] = (),
) -> dict[str, Span]:
    """When each item runs, by its id, as the scheduler starts them in this order: on one of the
    `slots` as soon as the jobs that it needs have ended, then speeds, one after the other.

    `seconds`: of each job by its id, from now on; `running`: the ids of jobs that have begun, whose
    items have a place.
    """
    waits, followers = _needs(items, seconds)
    spans: dict[str, Span] = {}
    taken: list[float] = []
    """Until when, of each place."""
    ends: list[tuple[float, str]] = []
    ready: list[int] = []

    def start(now: float, rank: int) -> None:
        for end, job in items[rank].ends(seconds):
            heapq.heappush(ends, (now + end, job))
        span = spans[items[rank].id] = Span(now, now + whole(items[rank], seconds))
        heapq.heappush(taken, span.end)

    before = [(rank, item) for rank, item in enumerate(items) if not item.is_speed]
    for rank, item in before:
        if running and any(job in running for _, job in item.ends(seconds)):
            start(0.0, rank)
        elif not waits[rank]:
            heapq.heappush(ready, rank)
    now = 0.0
    while ends or ready:
        while ready and len(taken) < max(slots, 1):
            start(now, heapq.heappop(ready))
        now = ends[0][0]
        while ends and ends[0][0] == now:
            for rank in followers.get(heapq.heappop(ends)[1], ()):
                waits[rank] -= 1
                if not waits[rank] and items[rank].id not in spans:
                    heapq.heappush(ready, rank)
        while taken and taken[0] == now:
            heapq.heappop(taken)
    for item in (item for item in items if item.is_speed):
        spans[item.id] = Span(now, now + whole(item, seconds))
        now = spans[item.id].end
    return spans


def _needs(
    items: Sequence[Item], seconds: Mapping[str, float]
) -> tuple[list[int], dict[str, list[int]]]:
    """By rank, for how many jobs each still waits; and by job the ranks of those that wait for
    it."""
    followers: dict[str, list[int]] = {job: [] for item in items for _, job in item.ends(seconds)}
    waits = [0] * len(items)
    for rank, item in enumerate(items):
        for need in item.needs if not item.is_speed else ():
            if need in followers:
                followers[need].append(rank)
                waits[rank] += 1
    return waits, followers
