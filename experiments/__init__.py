"""What is run, where and when: matrix, plan, schedule, store. Never imports torch."""
