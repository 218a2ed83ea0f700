"""Passes: what is measured of a loaded Step, one file each."""
