"""`--doctor`: a look at this machine, its folders and its devices, for a run or a bug report.

A module for each kind of look: it gathers facts, and functions of these alone judge them.
"""
