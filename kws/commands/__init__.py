"""The commands of `kws`, one a file: `kws NAME` calls the function NAME in NAME.py."""
