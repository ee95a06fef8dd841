"""Turns models into verified ONNX; the only part of InFiConD that knows torch and transformers."""
