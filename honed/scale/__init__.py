"""scale: how this machine scales for one model: cores, split batches, allocators, OpenMP."""
