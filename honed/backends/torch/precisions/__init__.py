"""In which precision the matrix products run: one file each, found by its name."""
