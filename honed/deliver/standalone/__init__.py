"""Files that are copied into every delivered folder. They import no honed."""
