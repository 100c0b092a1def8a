"""Puts the `wharf` command of this checkout into the virtual environment: without site, in isolated mode.

The script that pip makes starts Python with `site`, which reads .pth files and costs a fifth of a whole `wharf ps`.
This one names the two places that modules come from itself.
"""

import os
import sys
import sysconfig
from pathlib import Path

TEMPLATE = """#!{python} -IS
import sys

sys.path[:0] = [{source!r}]
sys.path.append({packages!r})
from wharf.cli.main import main

sys.exit(main())
"""
LONGEST_SHEBANG = 250
"""The kernel reads 256 bytes of a first line."""


def main() -> None:
    """Writes <prefix>/bin/wharf; leaves pip's script where the path is too long for a first line."""
    target = Path(sys.prefix) / "bin" / "wharf"
    source = Path(__file__).resolve().parents[1] / "src"
    if len(sys.executable) > LONGEST_SHEBANG or " " in sys.executable:
        return
    text = TEMPLATE.format(python=sys.executable, source=str(source), packages=sysconfig.get_path("purelib"))
    part = target.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.chmod(0o755)
    os.replace(part, target)


if __name__ == "__main__":
    main()
