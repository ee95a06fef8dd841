"""Audit of students: shortcuts, groups of images with many errors, and the actions that repair them."""
