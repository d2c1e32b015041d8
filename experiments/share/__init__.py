"""What leaves this machine, and what comes from another: archives, and what is done with them."""
