"""blame: which release of a package made a setting slower, with an interval."""
