"""Plan -> records: what runs when and where."""
