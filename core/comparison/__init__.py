"""Students, teachers and projects side by side on the same images."""
