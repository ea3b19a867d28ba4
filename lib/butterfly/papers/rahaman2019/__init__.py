"""On the Spectral Bias of Neural Networks."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="rahaman2019",
    authors="Nasim Rahaman, Aristide Baratin, Devansh Arpit, Felix Draxler, Min Lin, Fred A. Hamprecht, "
    "Yoshua Bengio, Aaron Courville",
    title="On the Spectral Bias of Neural Networks",
    venue="ICML 2019",
    year=2019,
    arxiv="1806.08734",
    question="Which frequencies of a function does a network learn first, and which does it keep?",
    at_hand="abstract, and the authors' notebooks (nasimrahaman/SpectralBias); the full text at second hand",
)
