"""From what a network says of each frame to what was said: the CTC loss, two ways to decode, and how wrong it is.

In connectionist temporal classification (Graves et al. 2006) every frame is a symbol or blank (0). A way through the
frames is read by counting runs of the same symbol once and leaving out blanks; the probability of a transcript is that
of all ways that are read so.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Transcript = list[int]


def ctc(logits: Tensor, target: Tensor) -> Tensor:
    """CTC loss `[m, B]` of logits `[m, B, T, C]`: -log of the probability of the transcripts `[m, B, L]`, 0 behind."""
    frames = logits.flatten(0, 1).log_softmax(2).transpose(0, 1)  # [T, m B, C]
    said = target.flatten(0, 1)
    heard = torch.full((len(said),), len(frames), device=said.device)
    loss = F.ctc_loss(frames, said, heard, (said > 0).sum(1), reduction="none")
    return loss.unflatten(0, logits.shape[:2])


# --- decoding --------------------------------------------------------------------------------------------------------


def read(way: Sequence[int]) -> Transcript:
    """How a way through the frames is read: runs of the same symbol once, without blanks."""
    return [int(now) for now, before in zip(way, [0, *way], strict=False) if now not in (0, before)]


def best_path(logits: Tensor) -> list[Transcript]:
    """The most probable way through the frames of each utterance, read; logits `[N, T, C]`."""
    return [read(way) for way in logits.argmax(2).tolist()]


def beam_search(logits: Tensor, beam: int) -> list[Transcript]:
    """The most probable transcript of each utterance, as far as a search tells that keeps `beam` prefixes a frame."""
    return [_search(frames, beam) for frames in logits.double().softmax(2).cpu().numpy()]


def _search(frames: np.ndarray, beam: int) -> Transcript:
    """Prefix search (Hannun et al. 2014) through probabilities `[T, C]`.

    Of every prefix two probabilities are kept: of the ways that are read so and end in a blank, and of those that do
    not. Only after a blank does the same symbol count again.
    """
    kept = {(): (1.0, 0.0)}
    for frame in frames.tolist():
        found: dict[tuple[int, ...], list[float]] = {}
        for prefix, (blank, symbol) in kept.items():
            stay = found.setdefault(prefix, [0.0, 0.0])
            stay[0] += (blank + symbol) * frame[0]
            for label, chance in enumerate(frame[1:], start=1):
                longer = found.setdefault((*prefix, label), [0.0, 0.0])
                if prefix and label == prefix[-1]:
                    stay[1] += symbol * chance
                    longer[1] += blank * chance
                else:
                    longer[1] += (blank + symbol) * chance
        best = sorted(found.items(), key=lambda item: -sum(item[1]))[:beam]
        total = sum(map(sum, dict(best).values()))  # taken out, so that long utterances do not underflow
        kept = {prefix: (blank / total, symbol / total) for prefix, (blank, symbol) in best}
    return list(next(iter(kept)))


# --- errors ----------------------------------------------------------------------------------------------------------


def edits(found: Sequence[int], truth: Sequence[int]) -> int:
    """The fewest symbols to put in, take out or replace that turn one transcript into the other (Levenshtein 1966)."""
    row = np.arange(len(truth) + 1)
    for count, symbol in enumerate(found, start=1):
        replaced = row[:-1] + (np.asarray(truth) != symbol)
        best = np.minimum(replaced, row[1:] + 1)
        # Putting in: the least of all places further left, plus the way from there.
        places = np.arange(len(truth) + 1)
        row = np.minimum.accumulate(np.concatenate([[count], best]) - places) + places
    return int(row[-1])


def symbol_error(found: Sequence[Transcript], y: Tensor) -> float:
    """Edits over all transcripts, for each symbol that was said; `y [N, L]`, 0 behind."""
    truth = [[symbol for symbol in row if symbol] for row in y.tolist()]
    return sum(map(edits, found, truth)) / sum(map(len, truth))
