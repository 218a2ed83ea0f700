"""Model: what runs. Configuration, weights, inputs, FLOPs and bytes."""
