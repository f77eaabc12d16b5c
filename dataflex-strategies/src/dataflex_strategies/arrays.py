"""Arrays in ``.npy`` files that a person gives a strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dataflex_core import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def read_array(path: str, owner: str) -> NDArray[np.generic[Any]]:
    """The array of a ``.npy`` file, read as it is used; never unpickled.

    Raises `UsageError`, which names the strategy, ``owner``, where there is none that can be read.
    """
    import numpy as np

    try:
        array: NDArray[np.generic[Any]] = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise UsageError(f"{owner}: {path} does not exist", hint="see from_file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{owner}: {path} is no .npy file: {error}", hint="write it with numpy.save") from error
    return array
