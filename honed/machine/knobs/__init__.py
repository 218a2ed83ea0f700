"""The knobs of the machine: each file here declares some in KNOBS, and is found by its name."""
