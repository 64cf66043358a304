"""The three kinds of work, each: gather, decide, act, record an outcome."""
