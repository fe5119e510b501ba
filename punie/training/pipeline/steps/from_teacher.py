"""What a larger model does right as a dataset, as a step."""

from typing import Any, ClassVar

from pydantic import BaseModel

from punie.training.pipeline.step import Call, DatasetStep, Given, Need, Role
from punie.training.pipeline.steps.generate import mix_need
from punie.training.pipeline.steps.settings import users_settings


class FromTeacher(DatasetStep):
    """Tasks that a teacher verifiably solved."""

    kind = "from-teacher"
    roles: ClassVar = {"teacher": Role("model", served=True)}
    neutral = frozenset({"parallel"})
    computes = True
    threads = 1
    unit = "tasks"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.data.from_teacher import FromTeacherOptions

        return FromTeacherOptions

    def run(self, call: Call) -> None:
        """Let the teacher work."""
        from punie.training.data.from_teacher import from_teacher

        (teacher,) = call.inputs["teacher"]
        from_teacher(call.options, teacher, users_settings(), call.out, call.report, call.stopped)

    def need(self, options: Any, given: Given) -> Need:
        """Refuse a preset or a family that there is not."""
        return mix_need(options)

    def work(self, options: Any) -> float | None:
        """Return the tasks that it gets."""
        return float(options.tasks)


STEP = FromTeacher()
