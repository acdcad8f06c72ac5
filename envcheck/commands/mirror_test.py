"""`envcheck mirrors test`: which addresses to ask, and what their answers mean."""

from collections.abc import Iterator, Sequence

from envcheck.catalogue.mirrors import Mirror, mirror
from envcheck.commands.mirror_tables import Answer, kind_name
from envcheck.commands.progress import Progress
from envcheck.commands.world import World
from envcheck.model.base import Plain
from envcheck.model.text import Text, say
from envcheck.model.urls import host_of, without_credentials
from envcheck.probes.measure import Asker, Index, Offer

_PAGES = ("pypi", "torch_wheels")
_CHANNELS = ("conda_forge",)
_REPODATA = "noarch/repodata.json"


class Question(Plain, frozen=True):
    """An address to ask: a page of an index, or a file of a channel."""

    mirror: str
    what: Text
    url: str
    is_page: bool


def questions(world: World, names: Sequence[str], variant: str | None, own: str | None) -> list[Question]:
    """What to ask for the given mirrors and addresses, or for all mirrors.

    Raises:
        EnvcheckError: a name that is no mirror's.
    """
    chosen = variant or _newest_cuda(world)
    asked: list[Question] = []
    for name in names:
        if "://" in name:
            asked.append(Question(host_of(name) or name, say("index"), name, is_page=True))
        else:
            asked += _of_mirror(mirror(name, own), chosen)
    return (
        asked if names else [one for each in world.catalogue.mirrors(own).values() for one in _of_mirror(each, chosen)]
    )


def _newest_cuda(world: World) -> str:
    """The oldest CUDA variant of the newest release: the one that most machines can run."""
    from envcheck.model.versions import numbers

    newest = world.catalogue.newest_torch()
    variants = {build.variant for build in world.catalogue.builds() if build.torch == newest and build.cuda}
    return min(variants, key=numbers, default="cpu")


def _of_mirror(one: Mirror, variant: str) -> Iterator[Question]:
    for kind in _PAGES:
        record = one.records.get(kind)
        url = record.at(variant) if record and record.usable else None
        if record and url:
            page = url if record.index == "flat" else f"{url.rstrip('/')}/torch/"
            yield Question(one.name, kind_name(kind), page, is_page=True)
    for kind in _CHANNELS:
        record = one.records.get(kind)
        if record and record.usable and record.url:
            yield Question(one.name, kind_name(kind), f"{record.url}/{_REPODATA}", is_page=False)


def ask(world: World, asked: Sequence[Question], limit: float) -> list[Answer]:
    """Read all pages at once, then measure one file of each alone, so that they do not slow each other."""
    asker = Asker(world.system)
    answers = []
    with Progress(world, limit) as progress:
        progress.began(world.voice(say("index pages")))
        pages = iter(asker.examine_all([one.url for one in asked if one.is_page], limit))
        progress.ended(world.voice(say("index pages")))
        for one in asked:
            progress.began(one.mirror)
            answers.append(_of_page(asker, one, next(pages), limit) if one.is_page else _of_file(asker, one, limit))
            progress.ended(one.mirror)
    return answers


def _of_page(asker: Asker, one: Question, page: Index, limit: float) -> Answer:
    if not page.ok or page.sample is None:
        return Answer(one.mirror, one.what, one.url, False, notes=(_why(page.why),))
    offer = asker.measure(Offer(page.sample, True), limit)
    notes = [
        say("{count} of {files} files lie at {host}", count=count, files=page.files, host=host)
        for host, count in page.elsewhere
    ]
    if page.host and page.host != host_of(one.url):
        notes.insert(0, say("redirected to {host}", host=page.host))
    if offer.ok and offer.host and offer.host != host_of(page.sample):
        notes.append(say("files are redirected to {host}", host=offer.host))
    notes += [] if offer.ok else [_why(offer.why)]
    return Answer(one.mirror, one.what, one.url, offer.ok, page.latency_ms, offer.bytes_per_s, tuple(notes))


def _of_file(asker: Asker, one: Question, limit: float) -> Answer:
    head = asker.head(one.url, limit)
    offer = asker.measure(head, limit) if head.ok else head
    if not offer.ok:
        return Answer(one.mirror, one.what, one.url, False, notes=(_why(offer.why),))
    moved = offer.host and offer.host != host_of(one.url)
    notes = (say("redirected to {host}", host=offer.host),) if moved else ()
    via = (say("through the proxy {url}", url=without_credentials(offer.proxy)),) if offer.proxy else ()
    return Answer(one.mirror, one.what, one.url, True, offer.latency_ms, offer.bytes_per_s, (*notes, *via))


def _why(name: str | None) -> Text:
    known = {
        "DNS": say("its name is unknown"),
        "REFUSED": say("refuses the connection"),
        "TIMEOUT": say("no answer in time"),
        "TLS": say("the encrypted connection failed"),
        "RESET": say("closed the connection"),
        "PROXY": say("the proxy failed"),
        "NO FILES": say("answers, but lists no files"),
        "NOT A FILE": say("answers, but not with the file"),
        "REDIRECTS": say("redirects in circles"),
        "DOWNGRADE": say("redirects to an address that is not safe"),
        "TOOBIG": say("its answer is too large"),
        "PROTOCOL": say("its answer is not HTTP as it should be"),
        "SCHEME": say("not an http or https address"),
    }
    return known.get(name or "") or say("{error}", error=name or "?")
