"""Compiled loops of the solver: functions over arrays, without any class of the package."""
