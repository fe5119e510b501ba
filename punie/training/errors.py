"""What the user is told when a step of the training pipeline cannot go on."""


class TrainingError(Exception):
    """A step cannot be done; the message is one sentence with the cure, for the user to read."""
