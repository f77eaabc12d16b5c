"""``dataflex report``: what a run decided, and whether it paid, on one page that needs no network.

`reading` takes in what a run left, `build` makes the page's numbers of it (`model`), `alerts` and `words` say what they
mean, `charts` draws them, and `page` writes them down.
"""
