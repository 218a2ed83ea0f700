"""What the matrix products are made of: one precision, one file, found by its name."""
