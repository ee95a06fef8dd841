"""What a Hugging Face Space starts: the page on the built-in project, for many visitors at once."""

from pathlib import Path

from inficond.gradio_app.space import serve

if __name__ == "__main__":
    serve(Path(__file__).resolve().parent / "demo")
