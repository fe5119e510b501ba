"""What goes wrong in evaluations and can be said in a sentence."""

from punie.training.errors import TrainingError


class EvaluationError(TrainingError):
    """An evaluation cannot be done; the message is one sentence for the person."""
