"""Regions of the image that a visitor tries, for concepts by example.

They stay in memory while the image is open. A request names them by number, so that no embedding comes from a
browser.
"""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.sessions.shown_concepts import OWN_IMAGE, Example, encode_region

KEY = re.compile(f"{OWN_IMAGE} [0-9a-f]{{16}}")
CLOSED = "the own image is closed: open it again and choose its regions"


@dataclass(frozen=True, eq=False)
class OwnRegions:
    """Region embeddings of an own image.

    Parameters
    ----------
    embeddings : ndarray of shape (R, D), float16
    key : str
        Names the image in requests.
    """

    embeddings: NDArray[np.float16] = field(repr=False)
    key: str = field(default_factory=lambda: f"{OWN_IMAGE} {secrets.token_hex(8)}")

    def example(self, region: int) -> Example:
        """Return a region as an example that does not need the image.

        Raises
        ------
        InputError
            There is no such region.
        """
        count = len(self.embeddings)
        if not 0 <= region < count:
            raise InputError(f"the own image has no region {region}: it has regions 0 to {count - 1}")
        return OWN_IMAGE, encode_region(self.embeddings[region])


def with_own_regions(examples: Any, own: OwnRegions | None) -> Any:
    """Return the examples of a request; those in the own image hold the embedding of the region.

    Parameters
    ----------
    examples : object
        As received. Examples that are not pairs of an image and a region are left as they are.
    own : OwnRegions or None
        Of the image that the visitor has open.

    Raises
    ------
    InputError
        The image is not open any more, has no such region, or the request contains an embedding.
    """
    if not isinstance(examples, list):
        return examples
    return [_with_own_region(pair, own) for pair in examples]


def _with_own_region(pair: Any, own: OwnRegions | None) -> Any:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
        return pair
    image, region = pair
    if isinstance(region, str):
        raise InputError("the region of an own image must be given by its number")
    if not KEY.fullmatch(image):
        return pair
    if own is None or image != own.key:
        raise InputError(CLOSED)
    if not isinstance(region, int) or isinstance(region, bool):
        return pair
    return own.example(region)
