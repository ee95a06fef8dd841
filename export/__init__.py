"""Conversion of models to verified ONNX; the only package that imports torch and transformers."""
