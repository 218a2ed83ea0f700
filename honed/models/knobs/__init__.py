"""Knobs of the inputs: one file each, found by its name."""
