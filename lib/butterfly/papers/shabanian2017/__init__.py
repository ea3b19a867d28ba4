"""Variational Bi-LSTMs."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="shabanian2017",
    authors="Samira Shabanian, Devansh Arpit, Adam Trischler, Yoshua Bengio",
    title="Variational Bi-LSTMs",
    venue="arXiv 2017",
    year=2017,
    arxiv="1711.05717",
    question="Does a forward model learn more from the past if the future speaks to it while it trains?",
    at_hand="abstract, and the text of the anonymous submission to ICLR 2018; no code",
)
