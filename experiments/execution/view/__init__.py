"""What a run shows while it lives: a picture of its jobs, and its drawing."""
