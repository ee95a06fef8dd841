"""Archives of projects, model folders and students, for machines without a network.

An archive is a zip without compression (images and weights do not shrink) with one more member,
`archive.json`, which holds the format version and the SHA-256 and size of every other member.
"""

from inficond.core.bundle.contents import FORMAT, MANIFEST
from inficond.core.bundle.packing import pack
from inficond.core.bundle.unpacking import unpack

__all__ = ["FORMAT", "MANIFEST", "pack", "unpack"]
