"""The process of one model's run through one stage. `python -m punie.evaluation.choosing.worker`.

See `punie.training.worker_process` for what it is told and what it answers.
"""

from pathlib import Path

from punie.evaluation.as_set import run_as_set
from punie.evaluation.choosing.stage_runs import Order
from punie.evaluation.suites.catalog import SUITES
from punie.settings import load_settings
from punie.training.progress import Stopped
from punie.training.worker_process import Answer, leave_after, passed_on, work


def main() -> int:
    """Do the run; return 0 if it is complete, 1 if not."""
    return work(_do)


def _do(given: bytes, answer: Answer, stopped: Stopped) -> None:
    order = Order.model_validate_json(given)
    settings = load_settings(Path.cwd(), model=order.model)
    suites = [SUITES[name] for name in order.suites]
    run_as_set(settings, suites, order.options, order.folder, passed_on(answer), stopped)


if __name__ == "__main__":
    leave_after(main)
