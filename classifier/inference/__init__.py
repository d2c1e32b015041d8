"""What is done with a trained network: evaluate, time, predict, draw."""
