"""The parts of the policy `dynamic`: keys of traces, shares of keys, and what is learned of their traffic."""
