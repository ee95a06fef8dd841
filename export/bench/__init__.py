"""Benchmarks that need torch; `inficond bench` finds them by their entry points."""
