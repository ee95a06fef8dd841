"""Hash of everything that decides a project, by which a repeated build recognises its finished project."""

import hashlib
import json
from collections.abc import Sequence

from inficond.core.concepts.corpus import Corpus
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.shards import SourceFile
from inficond.core.pipeline.teacher_stage import TeacherStage
from inficond.core.pipeline.user_teachers import digest_of


def request_hash(
    options: BuildOptions, corpus: Corpus, teachers: TeacherStage, basis: str, sources: Sequence[SourceFile]
) -> str:
    """Return a hash of everything that decides the project: models, images, tables, options.

    Parameters
    ----------
    options : BuildOptions
    corpus : Corpus
        The person's own words, or the built-in candidates.
    teachers : TeacherStage
        With an open teacher.
    basis : str
        Checksums of the models; see `Encoding.basis`.
    sources : sequence of SourceFile
    """
    o, table, labels = options, teachers.table, teachers.label_table
    request = {
        "basis": basis,
        "files": [(s.file.id, s.file.group, s.file.split, s.size, s.content) for s in sources],
        "responses": None if table is None else digest_of(table),
        "labels": None if labels is None else digest_of(labels),
        "classes": teachers.given_classes,
        "corpus": [list(corpus.names), hashlib.sha256(corpus.embeddings.tobytes()).hexdigest()],
        "fit": [
            o.lam,
            o.nec,
            o.link,
            o.seed,
            o.baseline,
            o.validity,
            o.grounding,
            teachers.kind,
            o.name_prior,
            o.words,
            *([] if o.exam else ["two parts"]),
        ],
    }
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
