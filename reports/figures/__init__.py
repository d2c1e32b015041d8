"""What a table's cells show: their records, their figures, and what these are without an image."""
