"""From a named data set to batches: listing, split, one decoded copy, transforms, loader."""
