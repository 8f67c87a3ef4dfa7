"""`python -m nssi_bayes` is the command `nssi-bayes`."""

from nssi_bayes.cli import main

main()
