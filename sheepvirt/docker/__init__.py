"""The engine, its images and its containers: the only users of docker."""
