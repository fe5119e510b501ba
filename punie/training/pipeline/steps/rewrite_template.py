"""Another format of tool calls for the same weights, as a step; only studies want it."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Artifact, Call, Role, Step


class RewriteTemplate(Step):
    """A model that was made from nothing gets the template of another format."""

    kind = "rewrite-template"
    roles: ClassVar = {"model": Role("model")}

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.pretraining.rewriting import RewriteOptions

        return RewriteOptions

    def makes(self, options: Any) -> Artifact:
        """Return what comes out."""
        return "model"

    def run(self, call: Call) -> None:
        """Copy it with the other template."""
        from punie.training.pretraining.rewriting import rewrite_template

        rewrite_template(call.options, call.path("model"), call.out)


STEP = RewriteTemplate()
