"""Maps the folders `core`, `export` and `gradio_app` to the packages `inficond.core` and so on.

Everything else is said in pyproject.toml; only the list of packages is computed, so that a new folder
cannot be forgotten in a wheel.
"""

from setuptools import find_packages, setup

ROOTS = ("core", "export", "gradio_app")

packages = [f"inficond.{root}" for root in ROOTS]
packages += [f"inficond.{root}.{name}" for root in ROOTS for name in find_packages(root)]

setup(packages=packages, package_dir={f"inficond.{root}": root for root in ROOTS})
