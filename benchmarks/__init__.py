"""Measurements of honed itself. Each prints its results; no test depends on them."""
