"""What goes wrong in evaluations and can be said in a sentence."""


class EvaluationError(Exception):
    """An evaluation cannot be done; the message is one sentence for the person."""
