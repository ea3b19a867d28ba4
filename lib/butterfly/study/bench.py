"""What a shard works with: its configuration, and the setting, data and architecture that it names."""

from dataclasses import replace
from functools import cached_property
from typing import Any

from butterfly import data, models
from butterfly.data import Data, DataError
from butterfly.models import Model
from butterfly.study.settings import Setting
from butterfly.train import Recipe


class Bench:
    """One shard's work place: values of the configuration by name, as in `bench["points"]`; the rest when used."""

    def __init__(self, config: dict[str, Any]):
        self.config = config

    def __getitem__(self, name: str) -> Any:
        return self.config[name]

    @property
    def seeds(self) -> list[int]:
        return list(self.config["seeds"])

    @cached_property
    def setting(self) -> Setting:
        return Setting.read(self.config["setting"], "setting")

    @property
    def recipe(self) -> Recipe:
        return self.setting.recipe

    @cached_property
    def task(self) -> Data:
        """The data, on the device of the shard."""
        return replace(self.load(self.setting.data).to(self.config["device"]), judged=self.setting.judged)

    @cached_property
    def model(self) -> Model:
        """The architecture of the setting."""
        return self.build(self.setting.model)

    def build(self, name: str) -> Model:
        """Another architecture for the same data."""
        return models.build(name, self.task.input_shape, self.task.classes)

    def load(self, name: str) -> Data:
        """A data set on the CPU; `DataError` where it is not what the shard was planned with."""
        found = data.load(name)
        if name == self.setting.data and found.source != self.config["source"]:
            raise DataError(f"the files of {name} changed since this run was planned; start it again")
        return found
