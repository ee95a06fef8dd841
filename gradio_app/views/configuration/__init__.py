"""The configuration view."""
