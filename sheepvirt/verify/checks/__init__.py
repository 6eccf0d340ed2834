"""The verification: testinfra against any host of the inventory.

pytest sheepvirt/verify/checks --hosts=ssh://tahiti --ssh-config=FILE
"""
