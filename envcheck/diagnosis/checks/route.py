"""EC601 to EC605, EC612, EC616 to EC619: where pip, uv and conda are told to take packages from."""

import re
from collections.abc import Iterator

from envcheck.catalogue.software import address, limit
from envcheck.diagnosis import remedies
from envcheck.diagnosis.case import Case
from envcheck.diagnosis.check import Check, check
from envcheck.diagnosis.exhibits import fact, heard
from envcheck.diagnosis.torch_build import has_cuda, nvidia_seen
from envcheck.model.facts import Setting
from envcheck.model.patterns import regex
from envcheck.model.report import Evidence, Finding, Fix, Severity
from envcheck.model.text import say

_TORCH_INDEX = regex(r"/whl(?:/|$)|pytorch-wheels", re.IGNORECASE)
_ON = ("1", "true", "yes", "on")
_OFF = ("0", "false", "no", "off")
_INDEXES = ("index-url", "default-index")
_CHANNELS = ("channels", "default_channels")


def rows(case: Case, tool: str, *keys: str) -> tuple[Setting, ...]:
    """The settings of `tool` under `keys` that are in force."""
    listed = case.facts.settings or ()
    return tuple(one for one in listed if one.tool == tool and one.key in keys and one.effective is not False)


def setting(one: Setting) -> Evidence:
    """A setting as evidence, with the file or variable that it stands in."""
    return fact(f"settings[{one.tool}.{one.key}]", one.value, "settings", one.origin)


def _is_torch_index(url: str) -> bool:
    return _TORCH_INDEX.search(url) is not None


@check("EC601", "far-index", severity="info", needs=("settings",))
def far_index(this: Check, case: Case) -> Iterator[Finding]:
    """Packages come from far away.

    What it means: the language and the time zone say that mirrors are nearer than the default index and PyTorch's
    own server, and none is configured. Nothing was measured or asked.

    Common causes: pip, uv and conda as they are after installation.

    What to do: nothing when downloads are fast. Otherwise let `envcheck mirrors` find a mirror, or install with
    `envcheck install --mirror`.
    """
    host = case.facts.host
    zone, language = host.time_zone or "", host.language or ""
    near = any(zone.startswith(one) for one in limit("zones_with_nearer_mirrors").split())
    speaks = any(language.startswith(one) for one in limit("languages_with_nearer_mirrors").split())
    if case.facts.settings is None or not near or (language and not speaks):
        return
    if rows(case, "pip", "index-url") or rows(case, "uv", "default-index"):
        return
    yield this.finding(
        say("Nearer mirrors are known, and none is configured"),
        evidence=(fact("host.time_zone", zone, "files"),),
        fixes=(remedies.command(case, say("See the mirrors"), "envcheck", "mirrors", "list"),),
    )


def forget(case: Case, one: Setting) -> Fix:
    """The command that removes a setting."""
    if one.tool == "pip":
        return remedies.command(
            case, say("Remove the setting"), *remedies.pip(case, "config", "unset", f"global.{one.key}")
        )
    if one.tool in ("conda", "mamba"):
        return remedies.command(case, say("Remove the channel"), "conda", "config", "--remove", one.key, one.value)
    return remedies.step(say("Remove it from {where}", where=one.origin))


@check(
    "EC602",
    "dead-source",
    severity="warning",
    cause="dead_source",
    explains=("EC629",),
    needs=("settings",),
    hears=("mirror_404",),
)
def dead_source(this: Check, case: Case) -> Iterator[Finding]:
    """A configured channel or index is no longer served.

    What it means: one dead channel is enough to make every conda command fail; a dead index makes every pip command
    fail. Frozen channels are still served, hold packages for Python 3.6 and older, and win over others when they
    stand first.

    Common causes: an old guide that adds `pkgs/free` and `pkgs/pro`; a mirror that was closed.

    What to do: remove the entry.
    """
    listed = (*rows(case, "conda", *_CHANNELS), *rows(case, "pip", "index-url", "extra-index-url", "find-links"))
    known = [(one, address(one.value)) for one in listed]
    gone = [one for one, what in known if what is not None and what.state == "gone"]
    frozen = [one for one, what in known if what is not None and what.state == "frozen"]
    said = [
        (message, groups)
        for message, groups in case.said("mirror_404")
        if "channel" in groups or "anaconda" in message.text
    ]
    severity: Severity = "error" if said else "warning" if gone else "info"
    for one in (gone or frozen)[:1]:
        others = (*gone, *frozen)
        yield this.finding(
            say("{source} is no longer served", source=one.value)
            if gone
            else say("{source} is frozen", source=one.value),
            evidence=(*(setting(each) for each in others[:4]), *heard(tuple(said), 1)),
            fixes=tuple(forget(case, each) for each in others[:4]),
            severity=severity,
        )
    if said and not gone and not frozen:
        groups = said[0][1]
        yield this.finding(
            say("A conda channel is not there: {channel}", channel=groups.get("channel") or groups.get("url", "?")),
            why=say("One channel that answers 404 is enough to make every conda command fail"),
            evidence=heard(tuple(said), 1),
            fixes=(
                remedies.command(case, say("See where channels are configured"), "conda", "config", "--show-sources"),
                remedies.step(say("Remove that channel from the file that names it")),
            ),
            severity="error",
        )


def _name_of_channel(url: str) -> str:
    return url.rstrip("/").rsplit("/", 1)[-1]


@check("EC603", "channel-name-goes-upstream", severity="info", needs=("settings",))
def channel_name_goes_upstream(this: Check, case: Case) -> Iterator[Finding]:
    """`-c NAME` goes past the configured mirror.

    What it means: a channel that is configured by its address gives its name no meaning. `conda install -c pytorch`
    still asks the official server, and puts it before the mirror.

    Common causes: `conda config --add channels` with addresses of a mirror, from an old guide.

    What to do: leave out `-c`, or give the name its mirror with `custom_channels`.
    """
    aliased = bool(rows(case, "conda", "channel_alias"))
    named = {one.key.partition(".")[2] for one in case.facts.settings or () if one.key.startswith("custom_channels.")}
    for one in rows(case, "conda", "channels"):
        name = _name_of_channel(one.value)
        if "/cloud/" in one.value and name not in named and not aliased:
            base = one.value.rstrip("/").removesuffix("/" + name)
            yield this.finding(
                say("conda install -c {name} goes past the configured mirror", name=name),
                evidence=(setting(one),),
                fixes=(
                    remedies.command(
                        case,
                        say("Give the name its mirror"),
                        *("conda", "config", "--set", f"custom_channels.{name}", base),
                    ),
                ),
            )
            return


@check("EC604", "extra-index-merges", severity="info", needs=("settings",))
def extra_index_merges(this: Check, case: Case) -> Iterator[Finding]:
    """An extra index may give another build than the one that is meant.

    What it means: pip puts all its indexes together and takes the newest version, whichever index has it. With
    PyTorch's index beside another one, a newer plain version wins over the CUDA build.

    Common causes: `extra-index-url` in pip.conf or PIP_EXTRA_INDEX_URL; it stays in force when `--index-url` is given
    on the command line.

    What to do: pin torch with its local version (`torch==X+cuNNN`), or name one index only.
    """
    extra = rows(case, "pip", "extra-index-url")
    every = (*extra, *rows(case, "pip", "index-url", "find-links"))
    torch = [one for one in every if _is_torch_index(one.value)]
    if extra and torch and not case.pasted:
        yield this.finding(
            say("pip merges PyTorch's index with others and takes the newest version"),
            evidence=tuple(setting(one) for one in every[:4]),
        )


@check("EC605", "index-without-cuda", severity="info", needs=("settings",))
def index_without_cuda(this: Check, case: Case) -> Iterator[Finding]:
    """The configured index has no CUDA build for this system.

    What it means: for Windows the default index and its mirrors hold builds without CUDA only. A plain
    `pip install torch` on this machine would bring such a build.

    Common causes: a mirror of the default index in pip's or uv's configuration, and no index of PyTorch beside it.

    What to do: install torch with the command that envcheck prints, which names the right index.
    """
    index = (*rows(case, "pip", "index-url"), *rows(case, "uv", "default-index"))
    torch = any(_is_torch_index(one.value) for one in case.facts.settings or ())
    if case.facts.host.os != "windows" or not index or torch or not nvidia_seen(case) or has_cuda(case):
        return
    yield this.finding(
        say("The configured index has no CUDA build of torch for Windows"),
        evidence=tuple(setting(one) for one in index[:2]),
        fixes=remedies.reinstall_torch(case),
    )


@check("EC612", "certificates-unchecked", severity="info", needs=("settings",))
def certificates_unchecked(this: Check, case: Case) -> Iterator[Finding]:
    """Certificates of package servers are not checked.

    What it means: anybody on the way can put other packages in place of those that were asked for.

    Common causes: `trusted-host` in pip.conf, `ssl_verify: false` in .condarc or `allow-insecure-host` of uv, left
    over from a day when a proxy broke TLS.

    What to do: remove the setting. Where a company's proxy signs with its own certificate, name that certificate
    instead.
    """
    off = [one for one in rows(case, "conda", "ssl_verify") if one.value.casefold() in _OFF]
    off += [*rows(case, "pip", "trusted-host"), *rows(case, "uv", "allow-insecure-host")]
    if off:
        yield this.finding(
            say("Certificates of package servers are not checked"),
            evidence=tuple(setting(one) for one in off[:4]),
            fixes=tuple(_trust_again(case, one) for one in off[:1]),
        )


def _trust_again(case: Case, one: Setting) -> Fix:
    if one.tool == "conda":
        return remedies.command(case, say("Check certificates again"), "conda", "config", "--set", "ssl_verify", "true")
    return forget(case, one)


@check(
    "EC616",
    "offline-setting",
    severity="warning",
    cause="installer_offline",
    explains=("EC622", "EC623", "EC627"),
    needs=("settings",),
)
def offline_setting(this: Check, case: Case) -> Iterator[Finding]:
    """A setting forbids the installer to ask any server.

    What it means: `no-index` of pip, `offline` of uv or conda: only local files and folders are looked at.

    Common causes: a cluster's or a company's configuration; a variable that was set for one command and stayed.

    What to do: remove the setting, or use the folder of wheels that it was made for.
    """
    found = [one for one in rows(case, "pip", "no-index") if one.value.casefold() in _ON]
    found += [
        one
        for tool in ("uv", "conda")
        for one in rows(case, tool, "offline", "no-index")
        if one.value.casefold() in _ON
    ]
    local = rows(case, "pip", "find-links") or rows(case, "uv", "find-links")
    for one in found[:1]:
        yield this.finding(
            say("{tool} is told not to ask any server", tool=one.tool),
            evidence=tuple(setting(each) for each in found),
            fixes=(
                forget(case, one)
                if one.tool == "pip"
                else remedies.step(say("Remove it from {where}", where=one.origin)),
            ),
            severity="info" if local else "warning",
        )


@check("EC617", "conda-pytorch-channel-ended", severity="info", needs=("settings",))
def pytorch_channel_ended(this: Check, case: Case) -> Iterator[Finding]:
    """The conda channel `pytorch` gets no new releases.

    What it means: the channel `pytorch` stopped; newer releases of torch for conda are on conda-forge only.

    Common causes: `-c pytorch` or a mirror of that channel, from a guide of earlier years.

    What to do: use conda-forge for newer releases, and ask for `pytorch-gpu` there when a GPU is to be used.
    """
    named = [one for one in rows(case, "conda", "channels") if _name_of_channel(one.value) == "pytorch"]
    if named:
        yield this.finding(
            say("The conda channel pytorch ended with {version}", version=limit("conda_pytorch_channel_end")),
            evidence=tuple(setting(one) for one in named[:2]),
            fixes=tuple(forget(case, one) for one in named[:1]),
        )


@check("EC618", "settings-unreadable", severity="warning", cause="settings_unreadable", needs=("settings",))
def settings_unreadable(this: Check, case: Case) -> Iterator[Finding]:
    """An installer cannot read its configuration.

    What it means: the tool stops with an error at every command until the file is mended.

    Common causes: an editor that wrote another encoding or a byte order mark; a key that stands twice; a line that
    was pasted from a page.

    What to do: mend the file at the place that is named, or move it away.
    """
    broken = [one for one in case.facts.settings or () if one.key == "error"]
    for one in broken[:1]:
        yield this.finding(
            say("{tool} cannot read its configuration {file}", tool=one.tool, file=one.origin),
            evidence=tuple(setting(each) for each in broken),
            fixes=(remedies.step(say("Mend {file}: {reason}", file=one.origin, reason=one.value)),),
        )


@check("EC619", "torch-backend-passes-mirror", severity="info", needs=("settings",))
def torch_backend_passes_mirror(this: Check, case: Case) -> Iterator[Finding]:
    """Uv takes torch from PyTorch's server, whatever mirror is configured.

    What it means: with `torch-backend` uv asks PyTorch's own server for torch and its companions and passes over
    every configured index.

    Common causes: UV_TORCH_BACKEND or `torch-backend` in uv.toml together with a mirror as default index.

    What to do: nothing when PyTorch's server is reachable. Otherwise unset it and name the index of a mirror.
    """
    backend, index = rows(case, "uv", "torch-backend"), rows(case, "uv", "default-index")
    if backend and index:
        yield this.finding(
            say("uv passes over the configured mirror for torch"),
            evidence=(setting(backend[0]), setting(index[0])),
            fixes=(
                remedies.unset(case, "UV_TORCH_BACKEND")
                if backend[0].origin == "UV_TORCH_BACKEND"
                else remedies.step(say("Remove it from {where}", where=backend[0].origin)),
            ),
        )


CHECKS = (
    dead_source,
    channel_name_goes_upstream,
    extra_index_merges,
    index_without_cuda,
    certificates_unchecked,
    offline_setting,
    pytorch_channel_ended,
    settings_unreadable,
    torch_backend_passes_mirror,
    far_index,
)
