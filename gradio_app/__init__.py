"""The page: six linked views over a project. It draws what `inficond.core` returns and computes nothing."""

import inficond.core  # noqa: F401  (switches Gradio's analytics off before Gradio is imported)
