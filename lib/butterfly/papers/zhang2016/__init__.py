"""Towards End-to-End Speech Recognition with Deep Convolutional Neural Networks."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="zhang2016",
    authors="Ying Zhang, Mohammad Pezeshki, Philémon Brakel, Saizheng Zhang, César Laurent, Yoshua Bengio, "
    "Aaron Courville",
    title="Towards End-to-End Speech Recognition with Deep Convolutional Neural Networks",
    venue="Interspeech 2016",
    year=2016,
    arxiv="1701.02720",
    question="Can a network hear in which order things come without a memory that runs along?",
    at_hand="abstract, and notes of its results at second hand; no code",
)
