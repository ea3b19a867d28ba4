"""Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="krueger2017",
    authors="David Krueger, Tegan Maharaj, János Kramár, Mohammad Pezeshki, Nicolas Ballas, Nan Rosemary Ke, "
    "Anirudh Goyal, Yoshua Bengio, Aaron Courville, Christopher Pal",
    title="Zoneout: Regularizing RNNs by Randomly Preserving Hidden Activations",
    venue="ICLR 2017",
    year=2017,
    arxiv="1606.01305",
    question="Does noise that lets units keep their value train better recurrent networks than noise that drops it?",
    at_hand="abstract; the full text read at second hand; not the authors' code",
)
