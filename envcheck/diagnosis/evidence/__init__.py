"""Pasted text to facts: what people post in threads, in any mixture. Pure.

Nothing that is not in the text becomes a fact, and every fact keeps the line that it came from.
"""

from envcheck.diagnosis.evidence.draft import Draft
from envcheck.diagnosis.evidence.page import page_of
from envcheck.model.facts import Facts


def read(text: str) -> Facts:
    """Facts out of whatever somebody pasted: reports, tables, tracebacks, commands, prose between them."""
    from envcheck.diagnosis.evidence import (
        answers,
        collect_env,
        environment,
        frameworks,
        graphics,
        install,
        listings,
        local,
        mentions,
        own_words,
        places,
        repl,
        reports,
        smi,
        smi_query,
        startup,
        surroundings,
        system,
        toolkits,
        torch_says,
    )

    page = page_of(text)
    draft = Draft()
    reported = (collect_env, smi, smi_query, toolkits, frameworks, startup, reports)
    known = (*reported, system, listings, install, environment, repl, torch_says)
    for reader in (
        *known,
        places,
        graphics,
        surroundings,
        mentions,
        answers,
        local,
        own_words,
    ):  # what weighs most comes first
        reader.read(page, draft)
    return draft.facts(page)
