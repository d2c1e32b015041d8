"""What a job is, and how settings are read and explained."""
