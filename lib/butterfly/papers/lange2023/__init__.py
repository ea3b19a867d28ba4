"""Deep Networks as Paths on the Manifold of Neural Representations."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="lange2023",
    authors="Richard D. Lange, Devin Kwok, Jordan Matelsky, Xinyue Wang, David Rolnick, Konrad P. Kording",
    title="Deep Networks as Paths on the Manifold of Neural Representations",
    venue="TAG-ML workshop at ICML 2023",
    year=2023,
    arxiv="2206.10999",
    question="Which way do the layers of a network take from the inputs to the answers?",
    at_hand="abstract, and code (wrongu/repsim, reppath); not the body of the paper",
)
