"""The tuning view."""
