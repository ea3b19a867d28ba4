"""Notebook 00: the ledger at a glance. It computes nothing; it reads what the other notebooks wrote."""

from butterfly.study import folders, ledger
from butterfly.study.claims import Claim
from butterfly.study.parameters import Params
from butterfly.study.study import Study

study = Study("00_index", Params, None)


def latest(profile: str) -> tuple[list[Claim], str]:
    """The ledger of a profile, or of the reference where the profile has none yet; and which one it is."""
    own, reference = (where / "claims.json" for where in (folders.results(profile), folders.reference("laptop")))
    chosen = own if own.exists() else reference
    return ledger.read(chosen), str(chosen.parent.relative_to(folders.ROOT))
