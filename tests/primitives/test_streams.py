"""Named random streams against a Mersenne Twister of another library, and against each other."""

import hashlib

import numpy as np
import torch

from butterfly.streams import generator


def test_a_stream_is_a_mersenne_twister_whose_whole_state_is_the_hash_of_its_name():
    words = np.frombuffer(hashlib.shake_256(b"init/7").digest(4 * 624), dtype="<u4")
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words.astype(np.uint32), "pos": 624}}
    raw = twister.random_raw(1500)  # torch makes a number between 0 and 1 of the last 24 bits of each
    expected = torch.from_numpy((raw & 0xFFFFFF).astype(np.float64) / 2**24).float()
    assert torch.equal(torch.rand(1500, generator=generator("init", 7)), expected)


def test_the_same_key_gives_the_same_numbers_and_another_key_others():
    first, again, other = (torch.randn(5, generator=generator("order", *key)) for key in ((1, 2), (1, 2), (12,)))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_seeds_whose_hashes_share_32_bits_are_different_networks():
    # Of the first 64 bits of their SHA-256, 32 are the same, and torch uses no more of a seed.
    first, other = (torch.randn(5, generator=generator("init", seed)) for seed in (18881, 84723))
    assert not torch.equal(first, other)


def test_neighbouring_keys_are_unrelated():
    numbers = torch.stack([torch.randn(2000, generator=generator("init", seed)) for seed in range(60)])
    correlations = torch.corrcoef(numbers)[~torch.eye(60, dtype=torch.bool)]
    assert abs(correlations.std().item() * 2000**0.5 - 1) < 0.1
    assert correlations.abs().max() < 5.5 / 2000**0.5
