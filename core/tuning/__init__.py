"""Tuning of students: actions on concepts, refits under bounds, previews and suggestions."""
