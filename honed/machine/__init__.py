"""The machine: its topology, limits and settings, the placement of instances, its knobs."""
