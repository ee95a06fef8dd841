"""Remakes what ships in ``core/assets``: pinned weight packages → ONNX, a text–image projection, the corpus.

``python -m inficond.export.embedded build`` writes the folders, ``… measure`` the figures of the model card,
``… speed`` how fast they are.
"""
