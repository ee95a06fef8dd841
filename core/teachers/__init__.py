"""Teachers made from a person's own labels: ground truth as responses, and a probe on image features."""
