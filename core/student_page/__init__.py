"""Exported students as one HTML file that runs them in a browser, offline."""

from inficond.core.student_page.build import export_student_page

__all__ = ["export_student_page"]
