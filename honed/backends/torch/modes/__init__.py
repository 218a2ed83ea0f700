"""How the module is called: one mode in one file, found by its name."""
