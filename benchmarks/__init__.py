"""Measurements of honed itself. Each prints what it measured; none gates a test."""
