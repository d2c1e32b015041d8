"""What an ablation is about. A trick is one file: its settings, what it does, its paper, what it
can't be combined with; `base` says at which places of a training it may act.

The files are found, not listed. Settings are read while planning, so a trick's file imports torch,
and what needs torch, inside its functions only.
"""
