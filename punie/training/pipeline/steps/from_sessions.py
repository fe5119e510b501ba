"""The user's own accepted turns as a dataset, as a step."""

from typing import Any

from pydantic import BaseModel

from punie.training.errors import TrainingError
from punie.training.pipeline.step import Call, DatasetStep, Given, Need
from punie.training.pipeline.steps.settings import users_settings


class FromSessions(DatasetStep):
    """Turns that the user kept, if their settings allow it."""

    kind = "from-sessions"

    def options_type(self) -> type[BaseModel]:
        """Return the model of the options."""
        from punie.training.data.from_sessions import FromSessionsOptions

        return FromSessionsOptions

    def run(self, call: Call) -> None:
        """Collect them."""
        from punie.training.data.from_sessions import from_sessions

        from_sessions(call.options, users_settings(), call.out, call.report, call.stopped)

    def surroundings(self, options: Any) -> str | None:
        """Return a hash of the sessions themselves."""
        from punie.training.hashing import file_hash, value_hash

        file = users_settings().sessions_file
        log = file.with_name(f"{file.name}-wal")
        return value_hash([file_hash(one) if one.is_file() else "" for one in (file, log)])

    def need(self, options: Any, given: Given) -> Need:
        """Refuse what the user has not allowed."""
        from punie.training.data.from_sessions import check_allowed

        try:
            check_allowed(users_settings())
        except TrainingError as error:
            return Need(refused=str(error))
        return Need()


STEP = FromSessions()
