"""What is shown: tables from records. Never imports torch."""
