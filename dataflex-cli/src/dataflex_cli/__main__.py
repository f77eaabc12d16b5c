"""``python -m dataflex_cli`` is ``dataflex``."""

from dataflex_cli.main import main

main()
