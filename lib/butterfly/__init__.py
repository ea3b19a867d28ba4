"""A companion to papers on how neural networks train: stacks of networks, kicked, compared and scored."""
