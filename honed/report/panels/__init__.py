"""Panels: the forms that figures are drawn in, for the page and as PNG from the same data."""
