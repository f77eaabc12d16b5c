"""How many devices LLaMA-Factory would train on here."""

from __future__ import annotations


def device_count() -> int:
    """Accelerators on this machine; 0 where training runs on the CPU."""
    from llamafactory.extras.misc import get_device_count

    return int(get_device_count())
