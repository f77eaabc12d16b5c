"""What a run decides, and when: pure functions and values over numpy, without torch and without a trainer."""
