"""A build of small text steps that counts what really ran; the engine under it is the real one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jessy_build.diagnostics import StepError
from jessy_build.engine.events import Event
from jessy_build.engine.kind import Facts, Job
from jessy_build.engine.ledger import Artifact
from jessy_build.engine.rebuild import Rebuilder
from jessy_build.engine.schedule import Result, Scheduler
from jessy_build.engine.store import Store
from jessy_build.plan.step import Plan, Step
from jessy_build.settings import Settings, load


@dataclass
class Text:
    """Writes `params["text"]` behind the text of its inputs; `upper` shows early cutoff."""

    name: str = "text"
    version: int = 1
    ran: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    during: Callable[[Job], None] = lambda job: None

    def run(self, job: Job) -> Facts:
        self.ran.append(job.step.name)
        self.during(job)
        if job.step.params.get("fail"):
            raise StepError("asked to fail", hint="do not ask")
        parts = [(folder / "text").read_text() for _, folder in sorted(job.inputs.items())]
        text = "".join(parts) + str(job.step.params.get("text", ""))
        (job.out / "text").write_text(text.upper() if job.step.params.get("upper") else text)
        return {"characters": len(text)}

    def summary(self, facts: Facts) -> str:
        return f"{facts['characters']} characters"

    def holds(self, step: Step, artifact: Artifact, settings: Settings) -> bool:
        return step.name not in self.lost


@dataclass
class World:
    root: Path
    kind: Text = field(default_factory=Text)
    events: list[Event] = field(default_factory=list)
    latest: dict[str, Artifact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = load(self.root / "recipe.yaml", {})
        self.store = Store(self.root / "store")

    def rebuilder(self) -> Rebuilder:
        return Rebuilder(
            self.store, lambda s, a: self.kind.holds(s, a, self.settings), dict(self.latest)
        )

    def build(self, plan: Plan, pools: Mapping[str, int] | None = None) -> Result:
        self.kind.ran.clear()
        self.events.clear()
        scheduler = Scheduler(
            self.store,
            {"text": self.kind},
            self.rebuilder(),
            self.events.append,
            pools or {"cpu": 1},
            self.settings,
        )
        result = scheduler.run(plan)
        self.latest.update(result.made)
        return result

    def text(self, result: Result, step: str) -> str:
        return (self.store.view(result.made[step]) / "text").read_text()


def chain(*texts: str, upper: int = -1, **extra: object) -> Plan:
    """Steps s0, s1, …, each needing the one before."""
    steps = []
    for number, text in enumerate(texts):
        params = {"text": text, "upper": number == upper, **extra}
        needs = {"before": f"s{number - 1}"} if number else {}
        steps.append(Step(f"s{number}", "text", 1, params, needs))
    return Plan(tuple(steps))
