"""Pasted text to facts: what people post in threads, in any mixture. Pure.

Nothing that is not in the text becomes a fact, and every fact keeps the line that it came from.
"""

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import page_of
from envcheck.model.facts import Facts


def read(text: str) -> Facts:
    """Facts out of whatever somebody pasted: reports, tables, tracebacks, commands, prose between them."""
    from envcheck.diagnosis.evidence import (
        collect_env,
        environment,
        install,
        labels,
        listings,
        places,
        repl,
        reports,
        smi,
        surroundings,
        system,
        torch_says,
    )

    page = page_of(text)
    draft = Draft()
    known = (collect_env, smi, reports, system, listings, install, environment, repl, torch_says)
    for reader in (*known, labels, places, surroundings):  # what weighs most comes first
        reader.read(page, draft)
    return draft.facts(page)
