"""Matrices -> Plan: unique jobs, their state and cost."""
