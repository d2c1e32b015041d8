"""What the figures tell: intervals, comparisons and verdicts."""
