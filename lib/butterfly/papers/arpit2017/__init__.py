"""A Closer Look at Memorization in Deep Networks; and its forerunner, Deep Nets Don't Learn via Memorization."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="arpit2017",
    authors="Devansh Arpit, Stanisław Jastrzębski, Nicolas Ballas, David Krueger, Emmanuel Bengio, "
    "Maxinder S. Kanwal, Tegan Maharaj, Asja Fischer, Aaron Courville, Yoshua Bengio, Simon Lacoste-Julien",
    title="A Closer Look at Memorization in Deep Networks",
    venue="ICML 2017",
    year=2017,
    arxiv="1706.05394",
    question="What do networks memorise, and how does that differ from what they learn?",
    at_hand="abstract, and full text read at second hand; of Krueger et al. 2017 the abstract",
)
