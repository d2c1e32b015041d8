"""Stands beside `classifier/data/sources` in test_sources.py, which finds its data set as well."""
