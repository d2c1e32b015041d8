"""The figures and verdicts in words, and what must be known to read them."""
