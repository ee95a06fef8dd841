"""Concepts: the corpus of words, concept vectors, evidence, regions.

Names are imported at first use, so that the list of words can be read without importing Numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inficond.core.concepts.corpus import Concept, Corpus, load_corpus
    from inficond.core.concepts.localise import Evidence, evidence
    from inficond.core.concepts.regions import region_boxes
    from inficond.core.concepts.vectors import concept_vectors

_MODULE_OF = {
    "Concept": "corpus",
    "Corpus": "corpus",
    "Evidence": "localise",
    "concept_vectors": "vectors",
    "evidence": "localise",
    "load_corpus": "corpus",
    "region_boxes": "regions",
}

__all__ = ["Concept", "Corpus", "Evidence", "concept_vectors", "evidence", "load_corpus", "region_boxes"]


def __getattr__(name: str) -> Any:
    if name in _MODULE_OF:
        return getattr(import_module(f"inficond.core.concepts.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
