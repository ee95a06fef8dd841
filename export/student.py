"""A student as one ONNX file; the work is core's, since it needs neither torch nor the onnx package."""

from inficond.core.onnx_student.export import export_student

__all__ = ["export_student"]
