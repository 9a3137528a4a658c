"""A build engine that knows nothing of models: keys, a content-addressed store, a scheduler."""
