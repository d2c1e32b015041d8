"""One training loop, and how it goes on from where it was."""
