"""Accuracy: labelled examples, and the batches on which settings are judged."""
