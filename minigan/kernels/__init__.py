"""Faster twins of chosen operations, each held to `ops.Ops` by a test and kept only where a measurement shows the gain."""
