"""sheepvirt: build a virtualization stack with sheepdog switched on, put it on a host, prove it."""
