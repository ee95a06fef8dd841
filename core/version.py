"""Version of InFiConD."""

__version__ = "0.1.0"
