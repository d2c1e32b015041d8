"""What an ablation is about: a trick is one file."""
