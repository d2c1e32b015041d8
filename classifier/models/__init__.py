"""Networks, their names, their weights and checkpoints."""
