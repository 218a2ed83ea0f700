"""Figures: one file each, discovered by its name. base.py shows what a file defines."""
