"""Where things are: every path starts from the checkout, wherever one stands."""

import os
import tomllib
from pathlib import Path

_CHECKOUT = Path(__file__).resolve().parents[3]
ROOT = _CHECKOUT if (_CHECKOUT / "notebooks").is_dir() else Path.cwd()  # installed alone: where one works
NOTEBOOKS = ROOT / "notebooks"
PARAMS = ROOT / "params"
FIGURES = ROOT / "figures"


def runs() -> Path:
    """The folder of finished shards: `BUTTERFLY_RUNS` (from the project's root), or `.runs`."""
    return ROOT / (os.environ.get("BUTTERFLY_RUNS") or ".runs")


def repository() -> str:
    """Where the project can be cloned from: `Repository` among the URLs of pyproject.toml, empty where it says none."""
    file = ROOT / "pyproject.toml"
    project = tomllib.loads(file.read_text())["project"] if file.exists() else {}
    return project.get("urls", {}).get("Repository", "").rstrip("/")


def topics() -> list[str]:
    """The notebooks by name, in order: `00_index`, `01_butterfly_effect`, ..."""
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def results(profile: str) -> Path:
    """The figures, their data and the claims that a profile makes."""
    return FIGURES / profile


def reference(profile: str) -> Path:
    """The results that ship with the repository."""
    return FIGURES / "reference" / profile
