"""Tables of records for terminals and Markdown, and what records cost."""
