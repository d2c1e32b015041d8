"""The options of runner.py, and what they start."""
