"""Computation of the first view of new visitors in advance."""

import logging

from inficond.core.errors import Cancelled
from inficond.core.project.image_map import LEAST_IMAGES
from inficond.core.tuning.actions import Action
from inficond.gradio_app.background import BackgroundThreads
from inficond.gradio_app.request_queue import lower_thread_priority
from inficond.gradio_app.selection import Selection
from inficond.gradio_app.views import view_parts
from inficond.gradio_app.visitor import Visitor

LOG = logging.getLogger("inficond.page")


def prepare_first_view(reader: Visitor, threads: BackgroundThreads) -> None:
    """Fill the cache of a project's shared reader before the first visit.

    Parameters
    ----------
    reader : Visitor
        Shared by all visits without a step.
    threads : BackgroundThreads
        The computation ends early when the page closes.
    """
    try:
        for cls in reader.project.classes:
            if threads.stopped:
                return
            reader.measured(cls)
        first = reader.default_class()
        largest = int(abs(reader.session.influence(first).weights).argmax())
        reader.session.preview(first, [Action("mute", reader.session.concepts[largest])])
        lower_thread_priority()  # the other parts are shown after the first page and must not delay it
        for part in sorted(view_parts().values(), key=lambda part: part.slow):
            if threads.stopped:
                return
            if part.slow:
                part.read(reader, Selection(first))
        if not threads.stopped and len(reader.project) >= LEAST_IMAGES:
            reader.session.context.image_map(threads.progress)
    except Cancelled:
        return
    except Exception:  # a visitor's request meets the same fault and reports it
        LOG.warning("the first view of a project could not be computed in advance", exc_info=True)
