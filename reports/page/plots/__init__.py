"""Plots of what a report says: a module a plot, each a pure function that gives a `Plot`, or None
where there is nothing to show."""
