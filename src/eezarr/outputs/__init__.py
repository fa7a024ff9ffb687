"""What is made of a running or finished job: reports and pictures."""
