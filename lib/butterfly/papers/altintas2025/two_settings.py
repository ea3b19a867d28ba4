"""Parameters of the studies that judge their claims on two settings."""

from typing import Any

from butterfly.study import OneModel, Setting, plain, setting


class TwoSettings(OneModel):
    """The first setting is the main one, which the parameters can change; the second is trained as it is."""

    settings: tuple[str, ...] = ("mnist1d",)  # the first is generated, a second one real

    @property
    def places(self) -> dict[str, str]:
        """The settings by what the ids of their claims end in: nothing for the main one, else the name of its data."""
        return {setting(name).data if place else "": name for place, name in enumerate(self.settings)}

    def setting_of(self, name: str, steps: int | None = None, **recipe: Any) -> Setting:
        """A setting with other fields of the recipe; what the parameters change of the main one wins over them."""
        if name == self.settings[0]:
            return self.chosen(name, steps, **(recipe | self.recipe))
        return plain(name, steps, **recipe)
