"""Notebook 00: the ledger at a glance. It computes nothing; it reads what the other notebooks wrote."""

from pathlib import Path

from butterfly import claims, paths
from butterfly.claims import Claim
from butterfly.experiments.common import Common

NOTEBOOK = "00_index"


class Params(Common):
    """Parameters of notebook 00."""


def ledger(params: Params) -> tuple[list[Claim], str]:
    """The ledger of this profile, or of the reference where the profile has none yet; and which one it is."""
    own, reference = (folder / "claims.json" for folder in (paths.FIGURES / params.profile, paths.reference("laptop")))
    chosen: Path = own if own.exists() else reference
    return claims.read(chosen), str(chosen.parent.relative_to(paths.ROOT))


def run(params: Params) -> None:
    """Nothing to compute."""
