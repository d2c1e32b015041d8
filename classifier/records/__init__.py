"""What a job leaves behind, and the folder that it lies in."""
