"""What differs between two reports, by what their records.json say."""
