"""Where real imagery lies, which does not come with the project."""

import os
from pathlib import Path


def data_folder():
    """The folder that the environment names, else the one beside the project; it need not be there."""
    return Path(os.environ.get("CHANGEDET_DATA") or Path(__file__).parents[2] / "shared" / "data")
