"""`python -m sampler.cli`."""

from sampler.cli.root import main

if __name__ == "__main__":
    main()
