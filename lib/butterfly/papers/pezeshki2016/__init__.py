"""Deconstructing the Ladder Network Architecture."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="pezeshki2016",
    authors="Mohammad Pezeshki, Linxi Fan, Philémon Brakel, Aaron Courville, Yoshua Bengio",
    title="Deconstructing the Ladder Network Architecture",
    venue="ICML 2016",
    year=2016,
    arxiv="1511.06430",
    question="Which part of a ladder network does the work?",
    at_hand="abstract, and the authors' code of a whole ladder (mpezeshki/ladder_network); best results at second hand",
)
