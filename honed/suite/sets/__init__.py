"""One file for each suite; its name is what `honed suite` takes."""
