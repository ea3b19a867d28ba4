"""A project with one tiny study, that of CONTRIBUTING, for tests that run, break and kill it; nothing is imported."""

import re
import shutil
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (CHECKOUT / "CONTRIBUTING.md").read_text(), re.S)
ROOM = "lib/butterfly/papers/doe2030"
FIGURES = '''"""The figures of notebook 99."""

from butterfly.study import Tables
from butterfly.study.figures import Drawn, panels


def losses(tables: Tables) -> Drawn:
    """Training loss after whole and after smaller steps; each point is a seed."""
    table = tables["losses"]
    figure, (axis,) = panels(1)
    axis.scatter(table.whole, table.small)
    axis.set(xlabel="loss after whole steps (nats)", ylabel="loss after smaller steps (nats)")
    return figure, table
'''
NOTEBOOK = """# %% [markdown]
# # 99 · A toy

# %%
from butterfly.papers.doe2030 import small_steps_figures as figures
from butterfly.papers.doe2030.small_steps import study

# %% tags=["parameters"]
profile = "smoke"
device = "cpu"
recipe = {}
data_set = None
model = None
setting = "digits"
steps = 60
seeds = 4
seeds_per_shard = 2
factor = 0.5

# %%
study.open(globals())

# %%
study.show("a", figures.losses)

# %%
study.verdicts()
"""


def project(root: Path, topics: list[str], more: dict[str, str]) -> None:
    """A copy of the project with the toy paper, those notebooks and some more files, and nothing but additions."""
    for name in ("lib", "params"):
        shutil.copytree(CHECKOUT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    (root / "notebooks").mkdir()
    for topic in topics:
        shutil.copy(CHECKOUT / "notebooks" / f"{topic}.py", root / "notebooks")
    for file in ("requirements.lock", "README.md"):
        shutil.copy(CHECKOUT / file, root / file)
    written = {
        f"{ROOM}/__init__.py": BLOCKS[0],
        f"{ROOM}/small_steps.py": BLOCKS[1],
        f"{ROOM}/small_steps_figures.py": FIGURES,
        "notebooks/99_small_steps.py": NOTEBOOK,
    }
    for file, text in (written | more).items():
        assert not (root / file).exists()
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(text)
