"""A training loop as a class, as libraries have it; it knows nothing of twins."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR


class Trainer:
    """Holds a model, its data, optimiser, scheduler and random numbers; `train` goes on from where it stands."""

    def __init__(self, model: nn.Module, data: tuple[Tensor, Tensor], steps: int, lr: float = 0.02, seed: int = 0):
        self.model, self.data, self.steps, self.step = model, data, steps, 0
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
        self.scheduler = OneCycleLR(self.optimizer, max_lr=lr, total_steps=steps)
        self.generator = torch.Generator().manual_seed(seed)

    def train(self) -> None:
        """Train the model on minibatches of 32, up to the last step."""
        x, y = self.data
        self.model.train()
        while self.step < self.steps:
            some = torch.randint(len(y), (32,), generator=self.generator)
            self.optimizer.zero_grad()
            F.cross_entropy(self.model(x[some]), y[some]).backward()
            self.optimizer.step()
            self.scheduler.step()
            self.step += 1
