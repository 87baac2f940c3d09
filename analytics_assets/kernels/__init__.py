"""Numbers: functions from arrays to arrays, some of them compiled.

Compiled code is cached on disk, and a cached function is taken as long as its own file is unchanged,
whatever became of the files it imports compiled functions and constants from. So the cache has a
folder for each state of all these files: after an upgrade in place nothing old is run. A folder of
one's own, in NUMBA_CACHE_DIR, wins; one that a parent process chose does not.
An installation that nobody may write to should have one: without it, every process compiles anew.
"""

import os

from analytics_assets.kernels.compiled_cache import cache_folder, is_ones_own, writable_folder

_given = os.environ.get("NUMBA_CACHE_DIR")
if not _given or not is_ones_own(_given):
    os.environ["NUMBA_CACHE_DIR"] = str(writable_folder(cache_folder()))
