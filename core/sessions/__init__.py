"""One person's work on a project."""
