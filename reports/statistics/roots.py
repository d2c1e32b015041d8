"""Where a function of one number is 0."""

from __future__ import annotations

import math
from collections.abc import Callable

STEPS = 1000
"""At most. A halving of 2 to 1e-12 takes 41, guesses that lead nowhere add to them."""
NARROW = 4 * math.ulp(1.0)
"""A root is told no nearer than this, as a share of itself."""


def root(function: Callable[[float], float], low: float, high: float, near: float) -> float:
    """A number between `low` and `high`, where the function has two signs, at most `near` from one
    at which it is 0 (Brent, 1973, Algorithms for Minimization without Derivatives, chapter 4).

    It gives the bits of scipy.optimize.brentq, which a test holds it against, and is here because
    of that module's import: it takes a fifth of the second in which a report answers.

    Raises ValueError where both signs are one, ArithmeticError where it is not found.
    """
    before, at_before = low, function(low)
    best, at_best = high, function(high)
    if at_before == 0:
        return before
    if at_best == 0:
        return best
    if (at_before < 0) == (at_best < 0):
        raise ValueError("the function has one sign at both ends")
    across, at_across = before, at_before  # beyond the root, seen from the best
    last = step = best - before
    for _ in range(STEPS):
        if at_before != 0 and at_best != 0 and (at_before < 0) != (at_best < 0):
            across, at_across = before, at_before
            last = step = best - before
        if abs(at_across) < abs(at_best):
            before, best, across = best, across, best
            at_before, at_best, at_across = at_best, at_across, at_best
        least, half = (near + NARROW * abs(best)) / 2, (across - best) / 2
        if at_best == 0 or abs(half) < least:
            return best
        guess = math.nan
        if abs(last) > least and abs(at_best) < abs(at_before):
            guess = _guessed((before, at_before), (best, at_best), (across, at_across))
        if 2 * abs(guess) < min(abs(last), 3 * abs(half) - least):
            last, step = step, guess
        else:
            last = step = half
        before, at_before = best, at_best
        best += step if abs(step) > least else math.copysign(least, half)
        at_best = function(best)
    raise ArithmeticError(f"no root was found in {STEPS} steps")


def _guessed(
    before: tuple[float, float], best: tuple[float, float], across: tuple[float, float]
) -> float:
    """The step from the best to the root, by a line through two points, or the inverse of a
    parabola through three; not a number where that leads nowhere."""
    (a, at_a), (b, at_b), (c, at_c) = before, best, across
    try:
        if a == c:
            return -at_b * (b - a) / (at_b - at_a)
        rise_a, rise_c = (at_a - at_b) / (a - b), (at_c - at_b) / (c - b)
        return -at_b * (at_c * rise_c - at_a * rise_a) / (rise_c * rise_a * (at_c - at_a))
    except ZeroDivisionError:  # figures so small that their product is 0
        return math.nan
