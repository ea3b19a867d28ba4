"""Three Factors Influencing Minima in SGD, with its short version Finding Flatter Minima with SGD."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="jastrzebski2018",
    authors="Stanisław Jastrzębski, Zachary Kenton, Devansh Arpit, Nicolas Ballas, Asja Fischer, Yoshua Bengio, "
    "Amos Storkey",
    title="Three Factors Influencing Minima in SGD",
    venue="ICANN 2018; short version: Finding Flatter Minima with SGD, ICLR 2018 workshop",
    year=2018,
    arxiv="1711.04623",
    question="Does the ratio of step to batch size decide how flat the place is where SGD ends?",
    at_hand="the abstracts (versions 1 and 3, and the workshop paper's), and notes on text and figures at second hand",
)
