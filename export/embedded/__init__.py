"""Build of the models in ``core/assets``: from pinned weight packages to ONNX, text projection and corpus.

``python -m inficond.export.embedded build`` writes the folders, ``… measure`` the figures of the model
card, and ``… speed`` their speed.
"""
