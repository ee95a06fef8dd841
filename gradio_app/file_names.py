"""File names that are valid everywhere, from names that people and browsers give."""

import re


def safe_file_name(name: str) -> str:
    """Return a file name that is valid in a folder of the page, from a name that a browser sent."""
    base = re.split(r"[\\/]", name.encode("utf-8", "replace").decode())[-1]
    short = re.sub(r"[\x00-\x1f<>:\"|?*]+", "_", base).strip(". ").encode()[-120:].decode("utf-8", "ignore")
    return short.strip(". ") or "image"


def file_stem(name: str) -> str:
    """Return the stem of a file name for a name: lower case, shortened at a word boundary."""
    slug = re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-").lower()
    short = slug[:41].rpartition("-")[0] if len(slug) > 40 else slug
    return (short or slug)[:40].strip("-") or "inficond"
