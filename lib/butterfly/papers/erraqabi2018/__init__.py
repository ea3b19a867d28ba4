"""A3T: Adversarially Augmented Adversarial Training."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="erraqabi2018",
    authors="Akram Erraqabi, Aristide Baratin, Yoshua Bengio, Simon Lacoste-Julien",
    title="A3T: Adversarially Augmented Adversarial Training",
    venue="arXiv 2018",
    year=2018,
    arxiv="1801.04055",
    question="Can a network learn to hide from its own features that its input was changed for the worst?",
    at_hand="abstract, and second-hand notes on the loss and the comparisons; neither the body of the paper nor code",
)
