"""The part of a picture that a model sees, in relative coordinates."""

Box = tuple[float, float, float, float]


def centre_crop(width: int, height: int, share: float | None) -> Box:
    """Return a centred square crop as left, top, right, bottom in [0, 1].

    Parameters
    ----------
    width, height : int
        Of the picture.
    share : float or None
        Side of the crop relative to the shorter side of the picture, in (0, 1]; None for no crop (the whole
        picture is stretched).

    Returns
    -------
    tuple of 4 float
    """
    if share is None:
        return 0.0, 0.0, 1.0, 1.0
    side = min(width, height) * share
    left, top = (1 - side / width) / 2, (1 - side / height) / 2
    return left, top, 1 - left, 1 - top
