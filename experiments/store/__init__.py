"""Where runs lie: records, leases, housekeeping."""
