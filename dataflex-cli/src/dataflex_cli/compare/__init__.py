"""``dataflex compare``: runs side by side, at equal steps and at equal work, in the terminal and on a page.

`settings` tells which runs are alike but for their seeds, `measures` brings their losses to one step and one amount of
work, `choices` compares what they chose, `remarks` says what stands in the way, and `build` puts it together (`model`).
"""
