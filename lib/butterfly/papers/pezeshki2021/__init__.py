"""Gradient Starvation, with the earlier paper that named it."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="pezeshki2021",
    authors="Mohammad Pezeshki, Sékou-Oumar Kaba, Yoshua Bengio, Aaron Courville, Doina Precup, Guillaume Lajoie",
    title="Gradient Starvation: A Learning Proclivity in Neural Networks",
    venue="NeurIPS 2021",
    year=2021,
    arxiv="2011.09468",
    question="Does a feature that is easily learned keep a network from learning others?",
    at_hand="abstract, and the authors' code for two moons (gradientstarvation/GS); of Tachet et al. 2018 (arXiv "
    "1809.06848) the abstract; both texts at second hand",
)
