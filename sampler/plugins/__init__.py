"""For authors and users of policy plugins: what there is, how it is set, how one is begun and tried."""
