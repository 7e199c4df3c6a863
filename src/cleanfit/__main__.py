"""Let `python -m cleanfit` and `accelerate launch -m cleanfit` run the command line."""

from cleanfit.cli import main

if __name__ == "__main__":
    main()
