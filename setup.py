"""The repository's root IS the package `shoal`: `kernels/` is `shoal.kernels`.

Folders on disk and names in code are the same thing, so Python, type checkers and readers see one house. Metadata is in
pyproject.toml; only what a root mapping needs stands here.
"""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOMS = ["core", "kernels", "nn", "optim", "plan", "mpi", "checkpoint", "train", "jobs", "cli"]


class BuildWithoutSetup(build_py):
    """Every *.py at the root would become a module of shoal; this file must not."""

    def find_package_modules(self, package, package_dir):
        modules = super().find_package_modules(package, package_dir)
        return [m for m in modules if m[:2] != ("shoal", "setup")]


setup(
    package_dir={"shoal": "."},
    packages=["shoal", *(f"shoal.{p}" for p in find_packages(include=[pattern for r in ROOMS for pattern in (r, f"{r}.*")]))],
    package_data={"shoal": ["py.typed", "train/presets/*.toml", "train/data/digits/*", "jobs/*.sbatch", "jobs/*.sh", "kernels/gpu/*.cu*"]},
    cmdclass={"build_py": BuildWithoutSetup},
)
