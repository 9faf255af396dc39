"""Who delivers notices, one package each."""
