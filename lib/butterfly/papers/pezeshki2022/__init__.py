"""Multi-scale Feature Learning Dynamics: Insights for Double Descent."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="pezeshki2022",
    authors="Mohammad Pezeshki, Amartya Mitra, Yoshua Bengio, Guillaume Lajoie",
    title="Multi-scale Feature Learning Dynamics: Insights for Double Descent",
    venue="ICML 2022",
    year=2022,
    arxiv="2112.03215",
    question="Why can the test error fall, rise, and fall again while a student trains?",
    at_hand="abstract, and the authors' code (mpezeshki/Epoch_wise_Double_Descent); text and figures at second hand",
)
