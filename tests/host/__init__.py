"""The verification: testinfra against any host of the inventory.

pytest tests/host --hosts=ssh://tahiti --ssh-config=FILE
"""
