"""Stored records, drawn for people. Reads records only."""
