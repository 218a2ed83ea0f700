"""Backend: how a model runs. One engine, one file, found by its name."""
