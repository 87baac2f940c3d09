"""Numbers: functions from arrays to arrays, some of them compiled.

Compiled code is cached on disk, and a cached function is taken as long as its own file is unchanged,
whatever became of the files it imports compiled functions and constants from. So the cache has a
folder for each state of all these files: after an upgrade in place nothing old is run. A folder of
one's own, in NUMBA_CACHE_DIR, wins; one that a parent process of an older version left there does not.
An installation that nobody may write to should have one: without it, every process compiles anew.
"""

import os
from pathlib import Path

from analytics_assets.kernels.compiled_cache import cache_folder, writable_folder

_folder, _given = cache_folder(), os.environ.get("NUMBA_CACHE_DIR")
if not _given or Path(_given).parent == _folder.parent:
    os.environ["NUMBA_CACHE_DIR"] = str(writable_folder(_folder))
