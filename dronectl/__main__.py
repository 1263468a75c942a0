# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m dronectl` is the same as the command `dronectl`."""

from dronectl.cli.main import main

if __name__ == "__main__":
    main()
