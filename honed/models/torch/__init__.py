"""The torch side of a model: its module, its head, random weights, the meta device."""
