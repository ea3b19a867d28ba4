"""Simultaneous Linear Connectivity of Neural Networks Modulo Permutation."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="sharma2024",
    authors="Ekansh Sharma, Devin Kwok, Tom Denton, Daniel M. Roy, David Rolnick, Gintare Karolina Dziugaite",
    title="Simultaneous Linear Connectivity of Neural Networks Modulo Permutation",
    venue="ECML PKDD 2024",
    year=2024,
    arxiv="2404.06498",
    question="Does one permutation of the units align whole training runs, and networks pruned from them?",
    at_hand=(
        "abstract, and code and notebooks that precede it (devinkwok/nnperm, perm_stability); not the body of the paper"
    ),
)
