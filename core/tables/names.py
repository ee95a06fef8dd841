"""Names that columns of tables commonly have."""

import re

IMAGE_COLUMNS = (
    "image", "path", "file_name", "file", "image_path", "image_file", "image_name", "file_path", "img",
    "img_path", "photo", "picture", "image_id", "uri", "url", "image_url", "key", "id", "name",
)  # fmt: skip
"""Of the column that names the image, best first; spelled as `normal_name` gives them."""
CLASS_COLUMNS = (
    "class", "class_name", "label", "label_name", "category", "category_name", "labels", "classes", "tags",
    "predicted_class", "predicted_label", "prediction", "predicted", "target", "species", "y_true", "y_pred",
    "pred", "ground_truth", "true_label", "pred_label", "category_id", "class_idx", "label_idx",
)  # fmt: skip
CLASS_ENDINGS = ("label", "labels", "class", "classes", "category", "categories", "tags")
"""Last words of the names of columns of text that hold classes, as in ``Finding Labels``."""
LIST_COLUMNS = ("label", "labels", "classes", "tags")
"""Of the columns whose cells may list several classes, separated by ``|`` or ``;``."""
VALUE_COLUMNS = ("probability", "prob", "score", "confidence", "proba", "p", "value", "response", "present")
"""Of the column of numbers beside a column of classes."""
WEAK_IMAGE_COLUMNS = ("image_id", "key", "id", "name")
"""Of `IMAGE_COLUMNS`, those that often mean something else."""
OTHER_COLUMNS = (
    "index", "id", "row", "row_id", "image_id", "key", "split", "subset", "group", "fold", "width", "height",
    "size", "rank", "epoch", "seed", "batch", "seconds", "time", "timestamp", "date", "class_id", "label_id",
    "class_index",
)  # fmt: skip
"""Of columns that are usually not classes."""
NUMBERING_COLUMNS = ("index", "id", "row", "row_id", "image_id", "key", "class_id", "label_id", "class_index")
"""Of `OTHER_COLUMNS`, those whose integers are never classes."""

CLASS_NUMBERS = ("class_id", "label_id", "class_index")
"""Of `NUMBERING_COLUMNS`, those that number the classes; they are labels in a table without others."""

MARKS = frozenset({
    "y", "n", "t", "f", "x", "o", "✓", "✔", "✗", "✘", "☑", "☐", "on", "off", "ja", "nein", "oui", "non", "si",
    "sí", "sì", "não", "sim", "vrai", "faux", "wahr", "falsch", "verdadero", "falso", "vero", "да", "нет",
    "はい", "いいえ", "是", "否", "○", "×",
})  # fmt: skip
"""Words and signs that mean yes and no, in lower case, and are not read as such."""

FILE = re.compile(r"(?s).+\.[A-Za-z]\w{1,4}(\?[^/]*)?\s*")
"""Text that looks like the name of a file."""
_INDEX = re.compile(r"unnamed: ?\d+(\.\d+)?(_level_\d+)?|__index_level_\d+__|level_\d+|index|")


def normal_name(name: str) -> str:
    """Return a column name in lower case with underscores: ``"File Name"`` -> ``"file_name"``."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    name = re.sub(r"[\s\-.]+", "_", name).casefold().strip("_")
    return {"filename": "file_name", "filepath": "file_path", "imagepath": "image_path"}.get(name, name)


def is_image_column(name: str) -> bool:
    """Return whether a name is one that a column of image names commonly has."""
    return normal_name(name) in IMAGE_COLUMNS


def is_index_column(name: str) -> bool:
    """Return whether a name is one that data frames give to their row numbers."""
    return _INDEX.fullmatch(name.strip().casefold()) is not None
