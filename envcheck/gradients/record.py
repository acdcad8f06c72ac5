"""A recorded run: what was asked and everything that the worker measured, to be judged now or again later."""

from typing import Any, Literal

from envcheck.gradients.ask import Ask
from envcheck.model.base import Value
from envcheck.model.errors import EnvcheckError
from envcheck.model.facts import State
from envcheck.model.text import say

RUN_SCHEMA = 1
LONGEST_FILE = 256 << 20


class Run(Value, frozen=True, kw_only=True):
    """One run of the worker. `values` and `errors` by step.

    `stage` is the step it died in at last; `crashes` are the cases during which it crashed, after each of which the
    worker was started again for the rest.
    """

    schema: int = RUN_SCHEMA
    kind: Literal["gradients-run"] = "gradients-run"
    envcheck: str
    taken_at: str | None = None
    python: str | None = None
    ask: Ask
    state: State
    stage: str | None = None
    signal: str | None = None
    returncode: int | None = None
    detail: str | None = None
    crashes: tuple[str, ...] = ()
    values: dict[str, Any] = {}
    errors: dict[str, dict[str, str]] = {}


def encode(run: Run) -> bytes:
    """The file of a run: JSON."""
    import msgspec

    return msgspec.json.encode(run) + b"\n"


def decode(data: bytes, where: str) -> Run:
    """The run in a file; raises EnvcheckError that names the file and the field when it is none."""
    import msgspec

    mend = say("give a file that `envcheck verify-backprop --save FILE` wrote")
    try:
        head = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        schema = msgspec.json.decode(head.get("schema", b"0"), type=int)
        if schema > RUN_SCHEMA:
            raise EnvcheckError(
                say("the file has schema {schema}, newer than {known}", schema=schema, known=RUN_SCHEMA),
                where=where,
                mend=say("read it with the envcheck that wrote it, or a newer one"),
            )
        return msgspec.json.decode(data, type=Run)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EnvcheckError(say("this is no recorded run: {why}", why=error), where=where, mend=mend) from error
