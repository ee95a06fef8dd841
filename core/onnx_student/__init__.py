"""Students as ONNX files: the graph and its verified export."""
