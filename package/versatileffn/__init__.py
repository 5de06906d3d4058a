"""The VersatileFFN Explorer as it is installed: `versatileffn.sample_models`, `.hooks`, `.analysis` and `.app`.

In a checkout these four are packages of their own, beside the README. The wheel holds them with their imports rewritten
(`rewriting.py`), so that no `hooks` or `app` of anybody else can take their place. An editable install rewrites them
when they are imported.
"""

from importlib.util import find_spec

if find_spec(f"{__name__}.checkout"):  # the wheel has no such module, and needs none
    from versatileffn import checkout

    checkout.find_packages()
