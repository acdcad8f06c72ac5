"""The build that is right for a machine, and why no other is: `resolve(facts, catalogue, wish) -> Plan`."""

from envcheck.catalogue import Catalogue
from envcheck.model.facts import Facts
from envcheck.model.plan import Build, Plan, Rejection, Wish
from envcheck.model.text import Text, say
from envcheck.recommend import advice
from envcheck.recommend.choice import candidates, ranked
from envcheck.recommend.rules import Judge
from envcheck.recommend.target import Target, target_of


def resolve(facts: Facts, catalogue: Catalogue, wish: Wish | None = None) -> Plan:
    """The plan for the machine that `facts` describe.

    Raises:
        EnvcheckError: a specifier of the wish cannot be read.
    """
    return plan_for(target_of(facts, catalogue), catalogue, wish or Wish())


def plan_for(target: Target, catalogue: Catalogue, wish: Wish) -> Plan:
    """The plan for a target."""
    judge = Judge(target, catalogue, wish)
    builds = candidates(catalogue, wish)
    verdicts = [(build, tuple(judge.objections(build))) for build in builds]
    right = ranked([build for build, against in verdicts if not against], judge)
    chosen = right[0] if right else None
    rejected = tuple(
        Rejection(build=build, rule=against[0][0], reason=against[0][1])
        if against
        else Rejection(build=build, rule=_later_rule(build, chosen), reason=_later_reason(build, chosen))
        for build, against in verdicts
        if build is not chosen
    )
    if chosen is None:
        return Plan(
            build=None,
            reason=advice.why_nothing(target, catalogue),
            rejected=rejected,
            notes=target.notes,
            nearest=advice.nearest(judge, catalogue, verdicts),
        )
    return Plan(
        build=chosen,
        reason=advice.why(chosen, judge),
        rejected=rejected,
        notes=target.notes + advice.notes(chosen, judge, catalogue, verdicts),
    )


def _later_rule(build: Build, chosen: Build | None) -> str:
    return "older" if chosen is not None and build.torch != chosen.torch else "variant"


def _later_reason(build: Build, chosen: Build | None) -> Text:
    if chosen is not None and build.torch != chosen.torch:
        return say("right too, but older than {torch}", torch=chosen.torch)
    return say("right too, but {variant} suits this driver better", variant=chosen.variant if chosen else "")
