"""Deployment files for a server. One kind of file, one module."""
