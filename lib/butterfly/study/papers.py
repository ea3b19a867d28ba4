"""What is told of a paper: who wrote it, its question, and what of it was at hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """One paper; `key` is the name of its room."""

    key: str
    authors: str
    title: str
    venue: str
    year: int
    arxiv: str
    question: str
    at_hand: str  # what its claims are taken from

    @property
    def cite(self) -> str:
        """First author, year and number: `Altıntaş et al. 2025 (arXiv 2506.13234)`."""
        first = self.authors.partition(",")[0].split()[-1]
        return f"{first} et al. {self.year} (arXiv {self.arxiv})"

    @property
    def link(self) -> str:
        """Authors, title and venue in markdown."""
        return f"{self.authors}: [*{self.title}*](https://arxiv.org/abs/{self.arxiv}) ({self.venue})"
