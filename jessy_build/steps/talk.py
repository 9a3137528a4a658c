"""chat: talk to the finished model, in the very prompt text that it was trained on."""

from typing import TYPE_CHECKING

from jessy_build import chat
from jessy_build.console import Console
from jessy_build.diagnostics import StepError
from jessy_build.example import Message
from jessy_build.steps import gguf
from jessy_build.steps.builds import Workspace
from jessy_build.steps.typed import command

if TYPE_CHECKING:
    from jessy_build.runtimes import llamacpp

LONGEST = 400
"""Tokens of an answer where the recipe sets no num_predict."""


def talk(workspace: Workspace, console: Console, prompt: str | None) -> int:
    from jessy_build.runtimes import llamacpp

    made = workspace.before()
    template_step = gguf.template(workspace.loaded.recipe)
    if "gguf" not in made or template_step not in made:
        raise StepError(
            f"{workspace.id} has not been built yet",
            hint=f"build it first: {command('build')} {workspace.words}",
        )
    folder = workspace.store.view(made["gguf"])
    template = chat.Chat.load(workspace.store.view(made[template_step]))
    with llamacpp.open(folder / gguf.FILE, template.stops, adapter=gguf.adapter(folder)) as runtime:
        conversation = Conversation(workspace, template, runtime, console)
        if prompt is not None:
            conversation.turn(prompt)
            return 0
        console.line(f"{workspace.loaded.recipe.name}: empty line or Ctrl-D ends, /new forgets.")
        while text := (console.read("› ") or "").strip():
            if text == "/new":
                conversation.forget()
            else:
                conversation.turn(text)
    return 0


class Conversation:
    def __init__(
        self,
        workspace: Workspace,
        template: chat.Chat,
        runtime: "llamacpp.Runtime",
        console: Console,
    ) -> None:
        self.template = template
        self.runtime = runtime
        self.console = console
        self.parameters = workspace.loaded.recipe.modelfile.parameters
        system = workspace.loaded.system
        self.opening = (Message("system", system),) if system else ()
        self.turns: list[Message] = []

    def forget(self) -> None:
        self.turns.clear()

    def turn(self, text: str) -> None:
        self.turns.append(Message("user", text))
        prompt = self.template.render((*self.opening, *self.turns), generate=True)
        pieces: list[str] = []
        for piece in self.runtime.stream(
            prompt,
            self.parameters.num_predict or LONGEST,
            temperature=self.parameters.temperature or 0.0,
            seed=self.parameters.seed or 0,
        ):
            pieces.append(piece)
            self.console.write(piece)
        self.console.line()
        answer = "".join(pieces)
        if self.console.json:
            self.console.json_document({"prompt": text, "answer": answer})
        self.turns.append(Message("assistant", answer))
