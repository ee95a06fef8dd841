"""Start script of a Hugging Face Space: serves the page on the project of photographs, or on the demo."""

from pathlib import Path

import compiled_kernels
from served import served_project

HERE = Path(__file__).resolve().parent
compiled_kernels.activate(HERE)

from inficond.gradio_app.space import serve_space  # noqa: E402  (Numba reads its settings when it is imported)

if __name__ == "__main__":
    serve_space(served_project(HERE))
