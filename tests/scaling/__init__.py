"""What strategies cost on clusters: on paper from the code's own arithmetic, and with 1,024 ranks as threads."""
