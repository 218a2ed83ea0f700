"""Statistics of the parent process: from samples to numbers with intervals and doubts."""
