"""CrossSplit: Mitigating Label Noise Memorization through Data Splitting."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="kim2023",
    authors="Jihye Kim, Aristide Baratin, Yan Zhang, Simon Lacoste-Julien",
    title="CrossSplit: Mitigating Label Noise Memorization through Data Splitting",
    venue="ICML 2023",
    year=2023,
    arxiv="2212.01674",
    question="Can two networks that never saw each other's labels repair them?",
    at_hand="abstract, and second-hand notes on the mixing of labels; neither the body of the paper nor its code",
)
