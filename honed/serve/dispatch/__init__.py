"""Dispatch: which queued texts make the next batch of an idle worker. One policy, one file."""
