"""One training loop, its losses, and how it goes on from where it was."""
