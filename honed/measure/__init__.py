"""Honest numbers: clock, statistics, memory, fidelity."""
