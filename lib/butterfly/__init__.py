"""A companion to papers on how neural networks train: stacks of networks, kicked, compared and scored."""

from pathlib import Path

# The text of every module as it was when this process began: the identity of a result counts what was imported, not
# what an editor has written since.
SOURCES = {path: path.read_text() for path in sorted(Path(__file__).parent.rglob("*.py"))}
