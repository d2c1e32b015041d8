"""What every wing stands on: errors, files, names, progress, the machine. Knows no training."""
