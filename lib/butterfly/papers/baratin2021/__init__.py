"""Implicit Regularization via Neural Feature Alignment."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="baratin2021",
    authors="Aristide Baratin, Thomas George, César Laurent, R Devon Hjelm, Guillaume Lajoie, Pascal Vincent, "
    "Simon Lacoste-Julien",
    title="Implicit Regularization via Neural Feature Alignment",
    venue="AISTATS 2021",
    year=2021,
    arxiv="2008.00938",
    question="Which way does a network's tangent kernel turn while it learns, and what if labels are wrong?",
    at_hand="abstract, and the authors' code (tfjgeorge/ntk_alignment); notes of the text and figures at second hand",
)
