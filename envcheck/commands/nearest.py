"""Errors for a word that is not one of ours, with the nearest one that is."""

from collections.abc import Iterable

from envcheck.model.errors import EnvcheckError
from envcheck.model.text import Text, say

FEW = 12
"""So many names can be shown in a hint."""


def unknown(
    what: Text, word: str, known: Iterable[str], *, where: str = "", otherwise: Text | None = None
) -> EnvcheckError:
    """The error `what` about `word`, with a hint at the nearest of `known`; `otherwise` when none is near."""
    from difflib import get_close_matches

    folded = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    if close:
        return EnvcheckError(what, where=where, mend=say("did you mean {name}?", name=folded[close[0]]))
    shown = list(folded.values())
    names = ", ".join(shown[:FEW]) + (", ..." if len(shown) > FEW else "")
    return EnvcheckError(what, where=where, mend=otherwise or say("known are: {names}", names=names))
