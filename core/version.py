"""Version of InFiConD; `pyproject.toml` and the documents read it here."""

__version__ = "1.0.0"
