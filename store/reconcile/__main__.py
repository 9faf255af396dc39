"""`python -m store.reconcile`."""

from __future__ import annotations

import sys

from store.reconcile.command import main

sys.exit(main())
