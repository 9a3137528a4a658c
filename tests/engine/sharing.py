"""Worlds that share: each has a store of its own, and all of them one more."""

from collections.abc import Callable
from pathlib import Path

from jessy_build.engine import shared
from jessy_build.engine.events import StepNote
from jessy_build.engine.schedule import Result
from jessy_build.plan.step import Plan
from tests.engine.world import World

Join = Callable[[str], World]


def world(root: Path, address: str) -> World:
    root.mkdir()
    made = World(root)
    shared.join(made.store, address, root, offline=False)
    return made


def build(world: World, plan: Plan) -> Result:
    """As `steps.builds` does it: what is told becomes events, and at the end all is shared."""
    assert world.store.shared
    world.store.shared.listen(world.events.append)
    result = world.build(plan)
    world.store.shared.settle(result.made.values())
    return result


def notes(world: World) -> list[str]:
    return [event.text for event in world.events if isinstance(event, StepNote)]
