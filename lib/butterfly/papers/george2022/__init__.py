"""Lazy vs Hasty: Linearization in Deep Networks Impacts Learning Schedule Based on Example Difficulty."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="george2022",
    authors="Thomas George, Guillaume Lajoie, Aristide Baratin",
    title="Lazy vs Hasty: Linearization in Deep Networks Impacts Learning Schedule Based on Example Difficulty",
    venue="TMLR 2022",
    year=2022,
    arxiv="2209.09658",
    question="Which examples does a network learn first, where it learns features and where it is as good as linear?",
    at_hand="abstract, and the authors' code (tfjgeorge/lazy_vs_hasty); text and figures at second hand",
)
