"""The interfaces of a server. One family of routes, one file."""
