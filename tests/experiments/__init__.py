"""Experiments that decide defaults: what is trained is DataFlex itself, what is compared is held-out loss."""
