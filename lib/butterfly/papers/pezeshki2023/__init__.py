"""Discovering Environments with XRM."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="pezeshki2023",
    authors="Mohammad Pezeshki, Diane Bouchacourt, Mark Ibrahim, Nicolas Ballas, Pascal Vincent, David Lopez-Paz",
    title="Discovering Environments with XRM",
    venue="ICML 2024",
    year=2023,
    arxiv="2309.16748",
    question="Can two networks that correct each other find the groups on which a shortcut fails?",
    at_hand="abstract, and notes of the text and of its reviews at second hand; nothing of the authors' code",
)
