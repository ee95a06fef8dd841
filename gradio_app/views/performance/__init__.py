"""The performance view."""
