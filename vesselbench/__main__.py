"""So that ``python -m vesselbench`` and ``torchrun -m vesselbench`` work."""

from vesselbench.cli import main

if __name__ == "__main__":
    main()
