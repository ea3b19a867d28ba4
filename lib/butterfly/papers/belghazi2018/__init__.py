"""Mutual Information Neural Estimation."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="belghazi2018",
    authors="Mohamed Ishmael Belghazi, Aristide Baratin, Sai Rajeswar, Sherjil Ozair, Yoshua Bengio, Aaron Courville, "
    "R Devon Hjelm",
    title="MINE: Mutual Information Neural Estimation",
    venue="ICML 2018",
    year=2018,
    arxiv="1801.04062",
    question="How much do two vectors say about each other, when a network has to find out?",
    at_hand="abstract, and notes on the text and figures at second hand; no code of the authors is known",
)
