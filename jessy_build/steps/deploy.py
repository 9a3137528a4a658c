"""deploy: to Ollama where a server answers, and always as a folder that `ollama create` takes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jessy_build import chat
from jessy_build.diagnostics import StepError
from jessy_build.engine.kind import Facts, Job
from jessy_build.engine.ledger import Artifact
from jessy_build.example import Message
from jessy_build.plan.step import Step
from jessy_build.settings import Settings
from jessy_build.steps import gguf, items, probes

if TYPE_CHECKING:
    from jessy_build.packaging.env_file import EnvLine
    from jessy_build.packaging.modelfile import Modelfile as Served
    from jessy_build.packaging.ollama import Deployed
    from jessy_build.recipe.load import LoadedRecipe
    from jessy_build.recipe.model import Modelfile, Ollama

name = "deploy"
version = 1


KINDS: Mapping[str | None, tuple[str | None, ...]] = {"auto": ("q4_K_M", "q8_0", None)}
"""Smallest first; what is left as it was exported has been proved."""


@dataclass(frozen=True)
class Payload:
    """What the parameters name."""

    modelfile: "Modelfile"
    env_line: "EnvLine | None"


def expand(loaded: "LoadedRecipe") -> list[Step]:
    recipe = loaded.recipe
    ollama = recipe.deploy.ollama if recipe.deploy else None
    params: dict[str, Any] = {
        "ollama": _target(ollama),
        "version": recipe.version,
        "modelfile": _told(loaded),
        "system": loaded.system,
    }
    span = loaded.span_of("deploy" if recipe.deploy else "export")
    needs = {"model": "gguf", "template": gguf.template(recipe), "parity": "parity"}
    about = {
        "deploy.ollama": params["ollama"],
        "version": recipe.version,
        "modelfile": params["modelfile"],
        **items.about_system(loaded),
    }
    line = env_line(loaded)
    if line and recipe.deploy and recipe.deploy.env_file:
        said = recipe.deploy.env_file.model_dump(mode="json")
        params["env_file"] = about["deploy.env_file"] = said
    payload = Payload(recipe.modelfile, line)
    # The server answers, and fills the machine: whoever answers at the same time takes turns.
    return [Step(name, name, version, params, needs, "gpu", span, payload=payload, about=about)]


def _told(loaded: "LoadedRecipe") -> dict[str, Any]:
    """The recipe's block, with what stands in the files of its template and licence."""
    block = loaded.recipe.modelfile
    said = block.model_dump(mode="json", exclude_defaults=True)
    if block.template != "auto":
        said["template"] = loaded.opened.go_template
    if block.license_file is not None:
        said["license_file"] = loaded.opened.license_text
    return said


def env_line(loaded: "LoadedRecipe") -> "EnvLine | None":
    """Where the live model's name is written; a build of a matrix, or of a part, is a try."""
    deploy, path = loaded.recipe.deploy, loaded.opened.env_file
    if deploy is None or deploy.env_file is None or path is None or loaded.variant:
        return None
    from jessy_build.packaging.env_file import EnvLine

    return EnvLine(path, deploy.env_file.key)


def _target(ollama: "Ollama | None") -> dict[str, Any] | None:
    """What is not said stands in no key, or all that was deployed before it could be said would
    be deployed once more."""
    if ollama is None:
        return None
    return {
        "model": ollama.model,
        "quantize": ollama.quantize,
        **({"keep": ollama.keep} if ollama.keep else {}),
    }


def run(job: Job) -> Facts:
    from jessy_build.packaging import glance, modelfile, ollama

    talk = chat.Chat.load(job.inputs["template"])
    made = _modelfile(job, talk)
    try:
        text = modelfile.render(made)
    except ValueError as error:
        raise StepError(
            f"the Modelfile cannot hold this: {error}",
            hint="change the text: modelfile, persona.system or the chat template",
        ) from None
    (job.out / "Modelfile").write_text(text, encoding="utf-8")
    target = job.step.params["ollama"]
    if target is None:
        _note_unproved(job)
        return {"target": "folder", "why": "the recipe names no server"}
    host = job.settings.ollama_host
    server = glance.version(host)
    if server is None:
        job.note(f"no Ollama answers at {host}: the model is left as a folder")
        _note_unproved(job)
        return {"target": "folder", "why": f"no Ollama answers at {host}", **target}
    line: EnvLine | None = job.step.payload.env_line
    if line and line.says() != f"{target['model']}:{job.step.params['version']}":
        line.must_be_writable()
    tried: list[dict[str, Any]] = []
    deployed = ollama.deploy(
        ollama.Deployment(
            host=host,
            model=target["model"],
            version=job.step.params["version"],
            gguf=job.inputs["model"] / gguf.FILE,
            adapter=gguf.adapter(job.inputs["model"]),
            modelfile=made,
            template_file=_template_file(job.step),
            quantize=KINDS.get(target["quantize"], (target["quantize"],)),
            judge=_judge(job, talk, tried),
            expected_prompts=_probes(job, talk),
            bos=talk.bos,
            allow_remote="OLLAMA_HOST" in job.settings.env,
        ),
        lambda done, total, text: job.progress(done, total, "bytes", text),
    )
    if deployed.problem:
        job.note(f"there is no way back to what was live before: {deployed.problem}")
    if line and line.write(deployed.tag):
        job.note(f"{line.path.name} says {line.key}={deployed.tag}")
    if "keep" in target:
        _prune(job, target, deployed)
    return {
        "target": "ollama",
        "host": host,
        "tag": deployed.tag,
        "digest": deployed.digest,
        "server": deployed.server_version,
        "quantize": deployed.quantize,
        "survival": tried,
    }


def _judge(
    job: Job, talk: "chat.Chat", tried: list[dict[str, Any]]
) -> Callable[[str, str], StepError | None]:
    """What it finds of each kind becomes a line in `tried`, for the report."""
    from jessy_build.runtimes import ollama

    made = probes.saved(job.inputs["parity"])
    host, remote = job.settings.ollama_host, "OLLAMA_HOST" in job.settings.env

    def judge(tag: str, kind: str) -> StepError | None:
        with ollama.open(host, tag, bos=talk.bos, allow_remote=remote) as model:
            found = probes.judge(
                made, model, lambda done: job.progress(done, len(made), "probes", kind)
            )
        tried.append(probes.as_facts(kind, found))
        if found.survived:
            return None
        return probes.erased(
            kind, found, hint="write deploy.ollama.quantize: auto, or leave it out"
        )

    return judge


def _template_file(step: Step) -> str | None:
    named: str = step.payload.modelfile.template
    return None if named == "auto" else named


def _note_unproved(job: Job) -> None:
    """A derived template is compared here as well; one from a file only a server can render."""
    if file := _template_file(job.step):
        job.note(f"no server has proved that {file} makes the prompts of the training")


def ours(made: Iterable[Artifact], settings: Settings) -> list[tuple[str, str]]:
    """Tag and digest of what these deploys put on the server that is configured now."""
    return [
        (str(one.facts["tag"]), str(one.facts["digest"]))
        for one in made
        if one.facts.get("target") == "ollama" and one.facts.get("host") == settings.ollama_host
    ]


def _prune(job: Job, target: Mapping[str, Any], deployed: "Deployed") -> None:
    """The model is live already: what cannot be removed is a line, and no failed build."""
    from jessy_build.packaging import live
    from jessy_build.packaging.ollama_server import Server

    server = Server(job.settings.ollama_host, allow_remote="OLLAMA_HOST" in job.settings.env)
    mine = [(deployed.tag, deployed.digest), *ours(job.former(), job.settings)]
    pruned = live.prune(server, target["model"], mine, target["keep"])
    if pruned.removed:
        job.note(f"removed from Ollama: {', '.join(pruned.removed)} (deploy.ollama.keep)")
    for problem in pruned.problems:
        job.note(f"an older version stays on the server: {problem}")


def holds(step: Step, artifact: Artifact, settings: Settings) -> bool:
    """False when a server answers that does not serve this build: the key alone cannot know."""
    from jessy_build.packaging import glance

    if step.params["ollama"] is None:
        return True
    facts = artifact.facts
    if facts["target"] == "folder":
        return glance.version(settings.ollama_host) is None
    if glance.version(settings.ollama_host) is None:
        return True
    line: EnvLine | None = step.payload.env_line
    if line and line.says() != facts["tag"]:
        return False
    return bool(glance.serving(settings.ollama_host, facts["tag"]) == facts["digest"])


def _modelfile(job: Job, talk: "chat.Chat") -> "Served":
    from jessy_build.packaging.modelfile import Message as Turn
    from jessy_build.packaging.modelfile import Modelfile as Served

    config = job.step.payload.modelfile
    told = job.step.params["modelfile"]
    own = told.get("template")
    parameters: dict[str, Any] = config.parameters.given()
    adapter = gguf.adapter(job.inputs["model"])
    stops = dict.fromkeys((*talk.stops, *parameters.get("stop", ())))
    return Served(
        from_=f"./{gguf.FILE}",
        adapter=f"./{adapter.name}" if adapter else None,
        parameters={**parameters, "stop": tuple(stops)},
        system=job.step.params["system"],
        template=chat.ollama_template(talk).text if own is None else own,
        messages=tuple(Turn(turn.role, turn.content) for turn in config.messages),
        license=(*config.licenses, *([terms] if (terms := told.get("license_file")) else ())),
        requires=config.requires,
    )


def _probes(job: Job, talk: "chat.Chat") -> tuple[tuple[tuple[Message, ...], str], ...]:
    """Conversations that the server must render exactly as the training did."""
    system = job.step.params["system"]
    first = (Message("system", system),) if system else ()
    given = tuple(Message(turn.role, turn.content) for turn in job.step.payload.modelfile.messages)
    turns = (
        (Message("user", "sana bisi sorucam"),),
        (
            Message("user", "Merhaba, nasılsın? 🙂"),
            Message("assistant", "İyiyim, sen?"),
            Message("user", "and you?  {{ .System }}"),
        ),
    )
    return tuple((turn, talk.render((*first, *given, *turn), generate=True)) for turn in turns)


def summary(facts: Facts) -> str:
    if facts["target"] == "ollama":
        return f"{facts['tag']} on Ollama {facts['server']}"
    return f"a folder with GGUF and Modelfile ({facts['why']})"
