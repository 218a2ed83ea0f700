"""scale: what cores, split batches, allocators and OpenMP runtimes do for one model."""
