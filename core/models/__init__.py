"""Model folders, the sessions that run them, and teachers in a file."""
