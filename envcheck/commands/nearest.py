"""Errors for a word that is not one of ours, with the nearest one that is."""

from collections.abc import Iterable

from envcheck.model.errors import EnvcheckError
from envcheck.model.text import Text, say


def unknown(what: Text, word: str, known: Iterable[str], *, where: str = "") -> EnvcheckError:
    """The error `what` about `word`, with a hint at the nearest of `known`, or at all of them when they are few."""
    from difflib import get_close_matches

    names = list(known)
    folded = {name.casefold(): name for name in names}
    close = get_close_matches(word.casefold(), folded, n=1, cutoff=0.5)
    if close:
        return EnvcheckError(what, where=where, mend=say("did you mean {name}?", name=folded[close[0]]))
    return EnvcheckError(what, where=where, mend=say("known are: {names}", names=", ".join(names)))
