"""The stages of the search: each file proposes the next trial of one stage, in ORDER."""
