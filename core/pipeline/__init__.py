"""The build pipeline: images to a finished project."""
