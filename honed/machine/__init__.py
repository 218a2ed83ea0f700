"""The machine: what it is, where instances go, what its knobs do."""
