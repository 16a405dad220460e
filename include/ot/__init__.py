"""The read-only mirror of SCADA and machine data: bridge, broker, recorder, spool, hot store, lake.

A bridge may run alone on another host; what it imports stands in requirements.in under "OT mirror".
"""
