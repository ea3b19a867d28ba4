"""Dataset Difficulty and the Role of Inductive Bias."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="kwok2024",
    authors="Devin Kwok, Nikhil Anand, Jonathan Frankle, Gintare Karolina Dziugaite, David Rolnick",
    title="Dataset Difficulty and the Role of Inductive Bias",
    venue="arXiv 2024",
    year=2024,
    arxiv="2401.01867",
    question=(
        "How noisy are scores of example difficulty, do they share one notion, and which examples betray the "
        "architecture?"
    ),
    at_hand=(
        "abstract, the code of the scores and four of its notebooks (devinkwok/nn_example_difficulty, open_lth); "
        "not the body of the paper"
    ),
)
