"""The Butterfly Effect: Neural Network Training Trajectories Are Highly Sensitive to Initial Conditions."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="altintas2025",
    authors="Gül Sena Altıntaş, Devin Kwok, Colin Raffel, David Rolnick",
    title="The Butterfly Effect: Neural Network Training Trajectories Are Highly Sensitive to Initial Conditions",
    venue="ICML 2025",
    year=2025,
    arxiv="2506.13234",
    question="When do tiny changes send identical training runs apart, and when does that end?",
    at_hand=(
        "abstract and lay summary, the caption of Figure 1, Equations 1 and 6, the code and its notebooks "
        "(gsaltintas/lmc), and the 2024 workshop abstract; not the body of the paper"
    ),
)
