"""How the module is called: one mode, one file, found by its name."""
