"""Survey of the classifiers of transformers: tiny random models, exported and compared with the library."""
