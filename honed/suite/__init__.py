"""Suites: fixed sets of experiments that one command measures and reports.

A suite is a file in `sets/`. What does not fit into memory by its plan is recorded and not tried,
and an interrupted suite goes on where it stopped.
"""
