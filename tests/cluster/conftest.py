"""The small models and photographs of builds, for engines."""

from tests.pipeline.conftest import tiny

__all__ = ["tiny"]
