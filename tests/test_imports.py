"""Any module can be the first that is imported."""

import subprocess
import sys

EACH = """
import importlib, pkgutil, sys
import nssi_bayes

every = [m.name for m in pkgutil.walk_packages(nssi_bayes.__path__, "nssi_bayes.")]
names = [name for name in every if "__main__" not in name]
failed = []
for name in names:
    for known in [k for k in sys.modules if k.split(".")[0] == "nssi_bayes"]:
        del sys.modules[known]
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed.append(f"{name}: {error}")
print(len(names), *failed, sep="\\n")
"""


def test_no_module_needs_another_to_be_imported_before_it() -> None:
    """Else what works depends on who asks first: a test alone, or a lab's script."""
    ran = subprocess.run([sys.executable, "-c", EACH], capture_output=True, text=True, check=True)
    count, *failed = ran.stdout.split("\n")[:-1]
    assert int(count) > 200
    assert failed == []
