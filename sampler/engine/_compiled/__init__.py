"""What of the engine is compiled; `sampler.engine.gathering` chooses between this and plain Python."""
