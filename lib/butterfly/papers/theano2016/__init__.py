"""Theano: A Python framework for fast computation of mathematical expressions."""

from butterfly.study.papers import Paper

PAPER = Paper(
    key="theano2016",
    authors="Rami Al-Rfou, Guillaume Alain, Amjad Almahairi, Christof Angermueller and many others (the Theano "
    "Development Team)",
    title="Theano: A Python framework for fast computation of mathematical expressions",
    venue="arXiv 2016",
    year=2016,
    arxiv="1605.02688",
    question="How fast is a program that describes a network, once it is compiled? Asked here of our own engine",
    at_hand="abstract; the figures of its comparison at second hand. Theano itself was not run: all claims are ours",
)
