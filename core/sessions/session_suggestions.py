"""Suggestions for the next step of a session: tuning actions, and words that are not concepts yet."""

from collections.abc import Sequence

from inficond.core.progress import Progress
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session_queries import SessionQueries
from inficond.core.tuning.missing import MissingConcept, missing_concepts
from inficond.core.tuning.suggest import Suggestion, suggest


class SessionSuggestions:
    """Searches for steps that would help a class; nothing is changed.

    Parameters
    ----------
    context : ProjectContext
    queries : SessionQueries
        Of the session.

    Examples
    --------
    `Session` has these methods too. The examples of the methods use this session.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> len(session.suggestions.suggest("water bird", count=2))
    2
    """

    def __init__(self, context: ProjectContext, queries: SessionQueries) -> None:
        self._context, self._queries = context, queries

    def suggest(
        self,
        cls: str,
        subset: str | None = None,
        count: int = 5,
        harmless: bool = False,
        progress: Progress | None = None,
    ) -> list[Suggestion]:
        """Return the actions that help a class, or one of its misaligned subsets, most, with their effects.

        With `harmless`, only those by which no class, slice or group clearly loses. `progress` can cancel the
        search.

        Raises
        ------
        InputError
            Unknown class or subset.

        Examples
        --------
        >>> best = session.suggest("water bird", count=1)[0]
        >>> best.actions[0].concept, best.gain.verdict
        ('group:water', 'better')
        """
        queries = self._queries
        return suggest(
            queries.workspace, queries.state, cls, subset, count, harmless=harmless, progress=progress
        )

    def missing_concepts(
        self,
        cls: str,
        words: Sequence[str] | None = None,
        count: int = 8,
        progress: Progress | None = None,
    ) -> list[MissingConcept]:
        """Return words that are not concepts yet and explain the errors of a class.

        Parameters
        ----------
        cls : str
            The class.
        words : sequence of str, optional
            Candidates; by default the built-in corpus and a list of further words, without those that name
            nothing in the images.
        count : int
            At most so many words.
        progress : Progress, optional
            Can cancel the search. Words are embedded once per project, which takes seconds.

        Returns
        -------
        list of MissingConcept
            Best first; `add_concept` takes their `word`.

        Raises
        ------
        InputError
            The project stores no regions or no concept embeddings, or its encoder cannot be loaded.

        Examples
        --------
        >>> found = session.missing_concepts("mushroom", words=["fungus", "feather", "keyboard"], count=1)
        >>> [(missing.word, missing.nearest) for missing in found]
        [('fungus', 'vegetable')]
        """
        self._queries.class_index(cls)
        vocabulary, embeddings = self._context.words.grounded_vocabulary(words, progress)
        if words is None:
            described = self._context.project.config.get("words") or {}
            left_out = [*(described.get("left_out") or []), *(described.get("unclear") or [])]
            invalid = {str(pair[0]) for pair in left_out if isinstance(pair, list) and pair}
            kept = [k for k, word in enumerate(vocabulary) if word not in invalid]
            vocabulary, embeddings = tuple(vocabulary[k] for k in kept), embeddings[kept]
        known = self._queries.required_embeddings()
        return missing_concepts(
            self._queries.workspace,
            self._queries.state,
            cls,
            vocabulary,
            embeddings,
            self._context.project.region_embeddings,
            known,
            count,
            None if progress is None else progress.advance,
        )
