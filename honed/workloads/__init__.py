"""Workload: when a step is called. One kind of traffic, one file."""
