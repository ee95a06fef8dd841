"""Photographs with planted shortcuts, and projects of them.

Each photograph is encoded once without and once with each visible attribute. A seed then chooses which
version of each photograph is used, and which photographs are for fitting, tuning and the exam; nothing is
encoded again. In the fit part, 97 % of the target class and 3 % of the others have the attribute. In the
other parts it is independent of the class, as in the Waterbirds benchmark (Sagawa, Koh, Hashimoto and Liang
2020).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from inficond.core.concepts import concept_vectors, load_corpus
from inficond.core.demo.material import background, cutout
from inficond.core.errors import InputError
from inficond.core.facade import Project
from inficond.core.images.sources.open import open_source
from inficond.core.images.thumbnail import make_thumbnail
from inficond.core.models.encoder import load_encoder
from inficond.core.pipeline.cached_rows import CachedRows, PictureFacts
from inficond.core.pipeline.encode import BATCH
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.progress import Progress, Silent
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.students import Students, distil

FRAME = 224
"""Pixels of a side of the prepared photographs."""
SHARE = 0.97
"""Share of the fit part's target class that has the attribute; of the others, one minus it has."""
FAULT = 0.9
"""Share of the other classes' images with the attribute that the faulty teacher calls the target class."""
FAULTY = 0.3
"""Share of all images with the attribute where the teacher is at fault."""
FIT, TUNE = 0.6, 0.2
NEC = 15.0
WATER, LAND = ("waves", "loch"), ("path", "moss", "leaves", "meadow")
PASTED = "sportscar2"


@dataclass(frozen=True)
class Shortcut:
    """A planted shortcut.

    Parameters
    ----------
    without, having : str
        Versions of the photographs, keys of `VERSIONS`.
    by_teacher : bool
        Whether the teacher is at fault: the attribute is then independent of the class in all parts.
    words, groups : tuple of str
        A finding names the shortcut if its concepts contain one of these words, or a concept of these groups.
    properties : tuple of str
        Or if it is about one of these image properties.
    """

    without: str
    having: str
    by_teacher: bool = False
    words: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()


def _composited(image: Image.Image, random: Random, names: Sequence[str]) -> Image.Image:
    """Keep the middle of a photograph and replace its surroundings by a background photograph."""
    place = background(names[int(random.random() * len(names))]).image
    side = min(place.size)
    left = int((place.width - side) * random.random())
    behind = place.crop((left, place.height - side, left + side, place.height)).resize((FRAME, FRAME))
    mask = Image.new("L", (FRAME, FRAME))
    edge = round(0.05 * FRAME)
    ImageDraw.Draw(mask).ellipse((edge, edge, FRAME - edge, FRAME - edge), fill=255)
    return Image.composite(image, behind, mask.filter(ImageFilter.GaussianBlur(7)))


def _cast(image: Image.Image, random: Random) -> Image.Image:
    """Tint a photograph strongly, as under sodium light."""
    share = 0.9 + 0.1 * random.random()
    grey = image.convert("L")
    tinted = Image.merge(
        "RGB", [grey.point([round(v * gain) for v in range(256)]) for gain in (1.0, 0.65, 0.15)]
    )
    return Image.blend(image, tinted, share)


def _patched(image: Image.Image, random: Random) -> Image.Image:
    """Draw a white label with dark lines, such as a watermark, into the lower right corner."""
    out = image.copy()
    draw = ImageDraw.Draw(out)
    w, h = 84, 41
    x, y = FRAME - w - 4 + int(3 * random.random()), FRAME - h - 4 + int(3 * random.random())
    draw.rectangle((x, y, x + w, y + h), fill=(250, 250, 250))
    for line in range(3):
        for at in range(8):
            left, top = x + 8 + 9 * at, y + 6 + 11 * line
            draw.rectangle((left, top, left + 5, top + 6), fill=(20, 20, 20))
    return out


def _pasted(image: Image.Image, random: Random) -> Image.Image:
    """Paste a cut-out object beside the subject, at the lower edge."""
    subject = cutout(PASTED).sprite
    width = round(FRAME * (0.6 + 0.1 * random.random()))
    sprite = subject.resize((width, round(subject.height * width / subject.width)))
    if random.random() < 0.5:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    out = image.copy()
    x = int((FRAME - width) * random.random())
    out.paste(sprite, (x, FRAME - sprite.height + round(0.1 * width)), sprite.getchannel("A"))
    return out


VERSIONS: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "plain": lambda image, random: image,
    "land": lambda image, random: _composited(image, random, LAND),
    "water": lambda image, random: _composited(image, random, WATER),
    "cast": _cast,
    "patch": _patched,
    "object": _pasted,
}
"""Versions of a photograph: its planted attribute."""

SHORTCUTS = {
    "background": Shortcut("land", "water", groups=("water",)),
    "colour cast": Shortcut("plain", "cast", properties=("warmth", "greenness", "saturation")),
    "corner patch": Shortcut("plain", "patch", properties=("mark at the lower right",)),
    "object": Shortcut("plain", "object", groups=("vehicle", "vehicle part")),
    "teacher fault": Shortcut("land", "water", by_teacher=True, groups=("water",)),
}
"""The five planted shortcuts."""


@dataclass(frozen=True, eq=False)
class Encodings:
    """One version of all photographs.

    Parameters
    ----------
    regions : (n, R, D) float16
    assignment : (n, h*w) uint8
    thumbnails : n JPEG files
    """

    regions: NDArray[np.float16]
    assignment: NDArray[np.uint8]
    thumbnails: list[bytes]


@dataclass(frozen=True, eq=False)
class Bank:
    """Photographs of a target class and of others, each encoded once per version.

    Parameters
    ----------
    target : str
        Name of the target class.
    ids : n names
    is_target : (n,) bool
    versions : mapping of str to Encodings
        As in `VERSIONS`.
    vectors : mapping of str to (n, K) float32
        Concept vectors of each version over the built-in words.
    grid : (h, w)
    """

    target: str
    ids: list[str]
    is_target: NDArray[np.bool_]
    versions: dict[str, Encodings]
    vectors: dict[str, NDArray[np.float32]]
    grid: tuple[int, int]


@lru_cache(maxsize=1)
def _corpus() -> tuple[list[str], list[str], NDArray[np.float32]]:
    corpus = load_corpus()
    return corpus.names, corpus.groups, np.asarray(corpus.embeddings, np.float32)


def make_bank(
    images: Path | str,
    target: str | None = None,
    each: int = 500,
    versions: Sequence[str] = tuple(VERSIONS),
    seed: int = 0,
    progress: Progress | None = None,
) -> Bank:
    """Read labelled photographs, draw every version and encode it; encodings are cached by content.

    Parameters
    ----------
    images : Path or str
        Any labelled source that `inficond distill` takes.
    target : str, optional
        The target class; by default that with most images.
    each : int
        Photographs of the target class, and of all others together, at most.
    versions : sequence of str
        Keys of `VERSIONS`.
    seed : int
        Chooses photographs and draws the attributes.
    progress : Progress, optional

    Returns
    -------
    Bank

    Raises
    ------
    InputError
        The images have no labels, no image has the target class, or a side has fewer than 60 photographs.
    """
    skipped: list[tuple[str, str]] = []
    records = list(open_source(images, lambda name, why: skipped.append((name, why))).records)
    labelled = [record for record in records if record.labels]
    counts: dict[str, int] = {}
    for record in labelled:
        for name in record.labels or ():
            counts[name] = counts.get(name, 0) + 1
    if not counts:
        raise InputError(f"{images}: the images have no labels; give class folders or a table with labels")
    target = max(sorted(counts), key=lambda name: counts[name]) if target is None else target
    rng = np.random.default_rng(seed)
    chosen = []
    for side in (True, False):
        members = [r for r in labelled if (target in (r.labels or ())) == side]
        if len(members) < 60:
            raise InputError(
                f"{images}: {len(members)} images {'have' if side else 'lack'} the class {target!r}; at "
                "least 60 are needed on each side"
            )
        chosen += [members[i] for i in np.sort(rng.permutation(len(members))[:each])]
    progress = progress or Silent()
    progress.start("drawing and encoding", len(chosen) * len(versions))
    encoder, cache = load_encoder("embedded", threads=None), EncodingCache()
    batch = BATCH.get(encoder.provider, 4)
    known = CachedRows(cache, encoder, None, batch, FRAME)
    made: dict[str, Encodings] = {}
    pictures = [_prepared(record.open().image) for record in chosen]
    for version in versions:
        draw = VERSIONS[version]
        rows = []
        for start in range(0, len(chosen), batch):
            some = range(start, min(start + batch, len(chosen)))
            pixels = np.zeros((batch, *encoder.size, 3), np.uint8)
            found = []
            for at, i in enumerate(some):
                picture = draw(pictures[i], Random(f"{version} {seed} {chosen[i].id}"))
                thumbnail = make_thumbnail(picture)
                row = known.find(b"planted " + picture.tobytes())
                if not row.complete:
                    row.picture = PictureFacts(picture.width, picture.height, "", thumbnail)
                    pixels[at] = encoder.preprocess(np.asarray(picture))
                found.append((row, thumbnail))
            if any(row.encoded is None for row, _ in found):
                encoded = encoder.encode(pixels)
                for at, (row, _) in enumerate(found):
                    if row.encoded is None:
                        row.encoded = encoded.regions[at].astype(np.float16), encoded.assignment[at]
                known.store([row for row, _ in found])
            rows += found
            progress.advance(len(some))
        pairs = [row.encoded for row, _ in rows if row.encoded is not None]
        made[version] = Encodings(
            np.stack([pair[0] for pair in pairs]),
            np.stack([pair[1] for pair in pairs]),
            [thumbnail for _, thumbnail in rows],
        )
    cache.close()
    embeddings = _corpus()[2]
    return Bank(
        target,
        [record.id for record in chosen],
        np.array([target in (record.labels or ()) for record in chosen]),
        made,
        {name: concept_vectors(one.regions, embeddings) for name, one in made.items()},
        encoder.grid,
    )


def _prepared(image: Image.Image) -> Image.Image:
    """Return the central square of a photograph at the frame's size."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.convert("RGB").crop((left, top, left + side, top + side))
    return square.resize((FRAME, FRAME), Image.Resampling.BICUBIC)


@dataclass(frozen=True, eq=False)
class Planted:
    """A project with a planted shortcut, and exam images that the project does not contain.

    Parameters
    ----------
    project : Project
        Fit and tune parts; one class.
    target : str
    attribute : (N,) bool
        Whether an image of the project has the attribute.
    exam_X : (m, K) float32
    exam_truth, exam_attribute : (m,) bool
    """

    project: Project
    target: str
    attribute: NDArray[np.bool_]
    exam_X: NDArray[np.float32]
    exam_truth: NDArray[np.bool_]
    exam_attribute: NDArray[np.bool_]


def plant(bank: Bank, name: str, folder: Path, seed: int = 0, shuffled: bool = False) -> Planted:
    """Write a project with a planted shortcut.

    Parameters
    ----------
    bank : Bank
    name : str
        Key of `SHORTCUTS`.
    folder : Path
        An empty or new folder.
    seed : int
        Chooses parts and attributes.
    shuffled : bool
        Permute the labels over the images afterwards, so that nothing is left to find.
    """
    how = SHORTCUTS[name]
    rng = np.random.default_rng([seed, *name.encode()])
    n, truth = len(bank.ids), bank.is_target.copy()
    part = np.empty(n, np.int8)
    for side in (True, False):
        members = rng.permutation(np.flatnonzero(truth == side))
        fit, tune = round(FIT * len(members)), round((FIT + TUNE) * len(members))
        part[members[:fit]], part[members[fit:tune]], part[members[tune:]] = 0, 1, 2
    share = np.where(truth, SHARE, 1 - SHARE)
    chance = np.full(n, FAULTY) if how.by_teacher else np.where(part == 0, share, 0.5)
    attribute = rng.random(n) < chance
    T = np.where(truth, 0.97, 0.03)
    if how.by_teacher:
        T = np.where(~truth & attribute & (rng.random(n) < FAULT), 0.97, T)
    if shuffled:
        order = rng.permutation(n)
        truth, T = truth[order], T[order]
    X = np.where(attribute[:, None], bank.vectors[how.having], bank.vectors[how.without])
    kept, exam = np.flatnonzero(part < 2), np.flatnonzero(part == 2)
    names, groups, embeddings = _corpus()
    students = _fitted(X[part == 0], T[part == 0], bank.target, names, embeddings)
    choose = [bank.versions[how.having if attribute[i] else how.without] for i in kept.tolist()]
    write_project(
        folder,
        ProjectContents(
            images=[ImageRow(id=bank.ids[i], path=bank.ids[i], width=FRAME, height=FRAME) for i in kept],
            T=T[kept, None].astype(np.float32),
            concepts=names,
            concept_groups=groups,
            concept_embeddings=embeddings,
            classes=[bank.target],
            is_validation=part[kept] == 1,
            students=students,
            labels=truth[kept, None].astype(np.float32),
            config={"planted": {"shortcut": name, "seed": seed}},
            name=f"{bank.target}, planted: {name}",
        ),
        [
            ImageBlock(
                X=X[kept],
                regions=np.stack([one.regions[i] for one, i in zip(choose, kept.tolist())]),
                assignment=np.stack([one.assignment[i] for one, i in zip(choose, kept.tolist())]),
                thumbnails=[one.thumbnails[i] for one, i in zip(choose, kept.tolist())],
            )
        ],
        grid=bank.grid,
    )
    return Planted(Project.open(folder), bank.target, attribute[kept], X[exam], truth[exam], attribute[exam])


def _fitted(
    X: NDArray[np.float32],
    T: NDArray[np.float64],
    target: str,
    names: Sequence[str],
    embeddings: NDArray[np.float32],
) -> Students:
    return distil(
        X, T[:, None].astype(np.float32), [target], names, nec=NEC, embeddings=embeddings
    )[0]  # fmt: skip


def names_shortcut(name: str, features: Sequence[tuple[str, str]], project: Project) -> bool:
    """Return whether a finding names a planted shortcut.

    Parameters
    ----------
    name : str
        Key of `SHORTCUTS`.
    features : sequence of (kind, name)
        The finding's own feature and its members.
    project : Project
    """
    how = SHORTCUTS[name]
    group = dict(zip(project.concepts, project.concept_groups))
    return any(
        feature in how.properties
        if kind == "property"
        else feature in how.words or group.get(feature) in how.groups
        for kind, feature in features
    )
