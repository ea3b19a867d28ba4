"""Negative Momentum for Improved Game Dynamics."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="gidel2019",
    authors="Gauthier Gidel, Reyhane Askari Hemmat, Mohammad Pezeshki, Rémi Le Priol, Gabriel Huang, "
    "Simon Lacoste-Julien, Ioannis Mitliagkas",
    title="Negative Momentum for Improved Game Dynamics",
    venue="AISTATS 2019",
    year=2019,
    arxiv="1807.04740",
    question="Two players descend against each other: does it help to move one after the other, and to take part of "
    "the last move back?",
    at_hand="abstract; text and figures at second hand",
)
