"""honed: how a transformer runs on your machine, made as good as it gets, and proven."""

__version__ = "0.1.0"
