"""Compiled loops; each takes arrays and fills arrays, and knows nothing of classes of ours."""
