"""The provenance view."""
