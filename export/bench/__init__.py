"""Benchmarks beside what needs torch; `inficond bench` finds them by their entry points."""
