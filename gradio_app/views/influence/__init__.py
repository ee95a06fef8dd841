"""The influence view."""
