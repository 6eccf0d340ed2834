"""The container engine: its client (nothing else uses docker) and its installation."""
