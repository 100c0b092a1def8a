"""These tests run inside the machine that tools/vm-lane boots (`make test-vm`), nowhere else."""

import os

collect_ignore_glob = [] if os.environ.get("WHARF_VM") else ["test_*.py"]
