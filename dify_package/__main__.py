"""`python -m dify_package build | validate | sign | verify`."""

from .cli import main

raise SystemExit(main())
