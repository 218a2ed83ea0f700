"""Figures: one file each, found by its name. See base.py for what a file gives."""
