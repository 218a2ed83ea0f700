"""Workers: processes that are started clean, asked over a channel, and never orphaned."""
