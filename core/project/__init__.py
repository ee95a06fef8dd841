"""The project folder on disk: files, arrays, opening, writing, verification."""
