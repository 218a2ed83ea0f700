"""Environments of other versions: made, kept by name, and meant by python=NAME."""
