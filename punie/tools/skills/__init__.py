"""Skills: instructions for a kind of work, which the model reads when it comes to that."""
