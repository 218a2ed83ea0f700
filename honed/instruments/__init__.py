"""Instruments: what a worker measures with, inside its own process."""
