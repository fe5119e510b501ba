"""What carries the protocol's lines on stdin and stdout, and what a line may be."""
