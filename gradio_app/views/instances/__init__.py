"""The instances view."""
